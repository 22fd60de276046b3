import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type Caps, descriptorLimit, withinDescriptors } from "../../../agent/proxy/descriptors.ts";

const caps: Caps = { open: { perPod: 1000, all: 20_000 }, pending: { perPod: 100, all: 1000 } };

describe("caps on proxied connections", () => {
  test.each([
    [Number.POSITIVE_INFINITY, caps],
    [40_512, caps],
    [40_511, { open: { perPod: 1000, all: 19_999 }, pending: { perPod: 100, all: 1000 } }],
    [1024, { open: { perPod: 64, all: 256 }, pending: { perPod: 32, all: 128 } }],
    [515, { open: { perPod: 1, all: 1 }, pending: { perPod: 1, all: 1 } }],
    [512, { open: { perPod: 0, all: 0 }, pending: { perPod: 0, all: 0 } }],
    [3, { open: { perPod: 0, all: 0 }, pending: { perPod: 0, all: 0 } }],
  ])("are what %d descriptors are enough for", (descriptors, expected) => {
    expect(withinDescriptors(caps, descriptors)).toEqual(expected);
  });

  test("are never raised", () => {
    const few: Caps = { open: { perPod: 3, all: 5 }, pending: { perPod: 1, all: 2 } };
    expect(withinDescriptors(few, 1024)).toEqual(few);
    const uneven: Caps = { open: { perPod: 3, all: 5000 }, pending: { perPod: 1, all: 2 } };
    expect(withinDescriptors(uneven, 1024)).toEqual({
      open: { perPod: 3, all: 256 },
      pending: { perPod: 1, all: 2 },
    });
  });
});

describe("the limit on descriptors", () => {
  test.each([
    ["Max open files            1024                 524288               files     \n", 1024],
    ["Max open files            unlimited            unlimited            files     \n", Infinity],
    ["", Infinity],
  ])("of %j is %d", (text, limit) => {
    expect(
      descriptorLimit(
        `Limit                     Soft Limit           Hard Limit           Units     \n${text}`,
      ),
    ).toBe(limit);
  });

  test("of this process is known", () => {
    expect(descriptorLimit(readFileSync("/proc/self/limits", "utf8"))).toBeGreaterThan(100);
  });
});
