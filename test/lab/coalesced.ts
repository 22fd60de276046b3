/** Runs a job after events: once for many that come together, again for those that come meanwhile, and again if it fails. */
import { setTimeout as sleep } from "node:timers/promises";

export class Coalesced {
  readonly #job: () => Promise<void>;
  readonly #failed: (error: unknown) => void;
  #wanted = false;
  #stopped = false;
  #running: Promise<void> | undefined;

  constructor(job: () => Promise<void>, failed: (error: unknown) => void) {
    this.#job = job;
    this.#failed = failed;
  }

  trigger(): void {
    this.#wanted = true;
    if (this.#running === undefined && !this.#stopped) this.#start();
  }

  /** Nothing is left to do. */
  get isIdle(): boolean {
    return this.#running === undefined;
  }

  /** No run begins after this; resolves when the last has ended. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  #start(): void {
    this.#running = this.#run().finally(() => {
      this.#running = undefined;
      // Asked for after the last look and before this.
      if (this.#wanted && !this.#stopped) this.#start();
    });
  }

  async #run(): Promise<void> {
    while (this.#wanted && !this.#stopped) {
      await sleep(2);
      this.#wanted = false;
      try {
        await this.#job();
      } catch (error) {
        if (this.#stopped) return;
        this.#failed(error);
        this.#wanted = true;
        await sleep(100);
      }
    }
  }
}
