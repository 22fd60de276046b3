/** Policy objects that are not accepted: each is told once, and again when what is said of it changes. */
import { type ObjectRef, refKey } from "../model/objects.ts";

/** What is said of one object. */
export interface Acceptance {
  readonly object: ObjectRef;
  readonly uid: string;
  readonly accepted: boolean;
  readonly reason: string;
  readonly message: string;
}

export class Rejections {
  /** By object: what was told of it last. */
  #told = new Map<string, string>();

  /** Those to tell now. `all`: every object there is; one that is not among them is forgotten. */
  fresh<T extends Acceptance>(all: readonly T[]): readonly T[] {
    const before = this.#told;
    const rejected = all
      .filter(({ accepted }) => !accepted)
      .map((about) => ({
        about,
        key: refKey(about.object),
        text: JSON.stringify([about.uid, about.reason, about.message]),
      }));
    this.#told = new Map(rejected.map(({ key, text }) => [key, text]));
    return rejected.filter(({ key, text }) => before.get(key) !== text).map(({ about }) => about);
  }
}
