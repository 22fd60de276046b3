/** Long work on the thread that also reads events and answers the API server: it pauses whenever it had its share. */
import { setImmediate as nextTurn } from "node:timers/promises";
import type { Clock } from "../model/clock.ts";

const SHARE_MS = 10;

export class Turns {
  readonly #clock: Clock;
  #began: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#began = clock.now();
  }

  /** Whether to `await pause()` before the next piece. */
  isOver(): boolean {
    return this.#clock.now() - this.#began >= SHARE_MS;
  }

  /** Lets everybody else have a turn. */
  async pause(): Promise<void> {
    await nextTurn();
    this.#began = this.#clock.now();
  }
}
