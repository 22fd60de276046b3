/** Who dialled, from a socket's state and sequence numbers. */
import { expect, test } from "vitest";
import { isDialled } from "../../../agent/reauthorize/direction.ts";
import { socketTo } from "./sockets.ts";

test.each<[state: number, beyondPayload: number, dialled: boolean | undefined]>([
  [1, 1, true],
  [1, 0, false],
  [1, 2, undefined],
  [1, -1448, undefined],
  [2, 0, true],
  [3, 0, false],
  [3, 1, false],
  [4, 2, true],
  [4, 1, undefined],
  [4, 0, false],
  [5, 2, true],
  [5, 1, false],
  [5, 0, undefined],
  [8, 1, true],
  [8, 0, false],
  [9, 2, true],
  [9, 1, undefined],
  [11, 2, true],
  [11, 0, false],
  [99, 1, undefined],
])("state %i with %i beyond the payload: %s", (state, beyondPayload, dialled) => {
  expect(isDialled(socketTo("192.0.2.10", 80, { state, beyondPayload }))).toBe(dialled);
});
