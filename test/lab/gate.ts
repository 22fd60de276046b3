/** Something that waits while anybody holds it. */
export class Gate {
  readonly #holders = new Set<symbol>();
  readonly #waiting: (() => void)[] = [];

  /** Closes the gate; the returned function takes that back. */
  hold(): () => void {
    const holder = Symbol("holder");
    this.#holders.add(holder);
    return () => {
      this.#holders.delete(holder);
      if (this.#holders.size === 0) this.open();
    };
  }

  /** Resolves when nobody holds it. */
  passed(): Promise<void> {
    if (this.#holders.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  open(): void {
    this.#holders.clear();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
