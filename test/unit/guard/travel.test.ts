import { expect, test } from "vitest";
import { follow } from "../../../agent/guard/travel.ts";
import type { Verdict } from "../../../agent/model/verdict.ts";

const start = { address: "192.0.2.0", port: 80 };
const to = (number: number): Verdict => ({
  action: "forward",
  reason: "rule",
  forward: { service: "shop/cart", port: 80 + number, ipv4: `192.0.2.${number}` },
});
const nowhere: Verdict = { action: "forward", reason: "rule", forward: { service: "shop/six", port: 80 } };

test.each([
  ["where nothing is guarded it ends", [], { end: start, isLoop: false }],
  [
    "four forwards are followed",
    [1, 2, 3, 4].map(to),
    { end: { address: "192.0.2.4", port: 84 }, isLoop: false },
  ],
  ["a fifth is not", [1, 2, 3, 4, 5].map(to), { end: undefined, isLoop: true }],
  ["nor asked where it leads", [...[1, 2, 3, 4].map(to), nowhere], { end: undefined, isLoop: true }],
  ["a forward may lead nowhere", [to(1), nowhere], { end: undefined, isLoop: false }],
])("as in the kernel, %s", (_, verdicts, outcome) => {
  const judge = () => all.shift();
  const all = [...verdicts];
  expect(follow(start, judge)).toEqual({ verdicts, ...outcome });
});
