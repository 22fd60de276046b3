/**
 * How long the policies of one namespace may take before those of others are asked. Else a pod whose own namespace's
 * policies take long could keep what another's forbid for as long as it has many connections at home.
 */
const FIRST_MS = 100;
const GROWTH = 8;

export class Patience {
  readonly #now: () => number;
  readonly #most: number;
  /** ms, by namespace. */
  readonly #spent = new Map<string, number>();
  #wasShort = false;

  constructor(now: () => number, most = FIRST_MS) {
    this.#now = now;
    this.#most = most;
  }

  /** Somebody was told "later", and is to be asked again with more of it. */
  get wasShort(): boolean {
    return this.#wasShort;
  }

  more(): Patience {
    return new Patience(this.#now, this.#most * GROWTH);
  }

  ask<T>(owner: string, question: () => T): T | "later" {
    const spent = this.#spent.get(owner) ?? 0;
    if (spent >= this.#most) {
      this.#wasShort = true;
      return "later";
    }
    const began = this.#now();
    const answer = question();
    this.#spent.set(owner, spent + this.#now() - began);
    return answer;
  }
}
