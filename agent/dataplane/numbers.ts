/**
 * The numbers that stand for things in maps. An agent gives a number once, and none that a verdict, pod or
 * address in the maps still bears: after a restart it goes on from the highest one found in the kernel. An entry that
 * is deleted late can then never speak for somebody else. Policy objects are numbered by hash; that decides nothing.
 */
import { createHash } from "node:crypto";
import { type ObjectRef, refKey } from "../model/objects.ts";

const MAX = 2 ** 32 - 1;
/** A subject's number shares its 32 bits with its kind. */
const MAX_NAME = 2 ** 30 - 1;

export class Counter {
  #last = 0;
  readonly #max: number;

  constructor(max = MAX) {
    this.#max = max;
  }

  /** Makes `number` and everything below it taken. */
  seen(number: number): void {
    if (number > this.#last) this.#last = number;
  }

  /** @throws RangeError after the last one, a billion or more: the maps must then be made anew. */
  next(): number {
    if (this.#last >= this.#max)
      throw new RangeError("numbers are used up: run `podgate cleanup` and restart the agent");
    this.#last += 1;
    return this.#last;
  }
}

/** Names that keep their number as long as they are in use. */
export class Registry {
  readonly #numbers = new Map<string, number>();
  readonly #named = new Set<number>();
  readonly #counter = new Counter(MAX_NAME);
  readonly #isFree: (number: number) => boolean;

  /** `isFree`: whether a number may be given; there must be one. */
  constructor(isFree: (number: number) => boolean = () => true) {
    this.#isFree = isFree;
  }

  /** Makes `number` taken, without a name: something in the kernel still bears it. */
  seen(number: number): void {
    this.#counter.seen(number);
  }

  /** Takes over what the kernel already holds, unless another name has that number. */
  adopt(name: string, number: number): void {
    this.#counter.seen(number);
    if (this.#named.has(number)) return;
    this.release(name);
    this.#set(name, number);
  }

  get(name: string): number | undefined {
    return this.#numbers.get(name);
  }

  take(name: string): number {
    const known = this.#numbers.get(name);
    if (known !== undefined) return known;
    let number = this.#counter.next();
    while (!this.#isFree(number)) number = this.#counter.next();
    this.#set(name, number);
    return number;
  }

  /** The name may come back; it then gets another number. */
  release(name: string): void {
    const number = this.#numbers.get(name);
    if (number !== undefined) this.#named.delete(number);
    this.#numbers.delete(name);
  }

  names(): IterableIterator<string> {
    return this.#numbers.keys();
  }

  #set(name: string, number: number): void {
    this.#numbers.set(name, number);
    this.#named.add(number);
  }
}

/**
 * Policy objects, numbered by their name's hash: the same object has the same number after a restart, so that
 * unchanged verdicts are recognised as such. 0 stands for no policy.
 */
export class PolicyNumbers {
  readonly #byNumber = new Map<number, ObjectRef>();
  readonly #byKey = new Map<string, number>();

  take(ref: ObjectRef): number {
    const key = refKey(ref);
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    let number = createHash("sha256").update(key).digest().readUInt32LE(0);
    while (number === 0 || this.#byNumber.has(number)) number = (number + 1) >>> 0;
    const { kind, namespace, name } = ref;
    this.#byNumber.set(number, { kind, namespace, name });
    this.#byKey.set(key, number);
    return number;
  }

  ref(number: number): ObjectRef | undefined {
    return this.#byNumber.get(number);
  }
}
