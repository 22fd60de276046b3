import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Limits, Quota } from "../../../agent/proxy/quota.ts";

class Held {
  readonly podUid: string;
  isDisplaced = false;

  constructor(podUid: string) {
    this.podUid = podUid;
  }

  displace(): void {
    this.isDisplaced = true;
  }
}

/** Who asked, and whether they got in; and who holds something at the end, in the order in which they came. */
function ask(limits: Limits, pods: string) {
  const quota = new Quota(limits);
  const all = [...pods].map((pod) => {
    const held = new Held(pod);
    return { held, got: quota.take(held) };
  });
  const left = all.filter(({ held, got }) => got && !held.isDisplaced);
  expect(quota.size).toBe(left.length);
  return { quota, got: all.map(({ got }) => got), left: left.map(({ held }) => held) };
}

const namesOf = (held: readonly Held[]) => held.map(({ podUid }) => podUid).join("");

test("one pod cannot take what is for all", () => {
  expect(ask({ perPod: 2, all: 3 }, "aaa").got).toEqual([true, true, false]);
});

describe("when all of it is taken", () => {
  test("a pod that has fewer takes the place of the last of the pod that has most", () => {
    const { got, left } = ask({ perPod: 9, all: 6 }, "aaaabbc");
    expect(got.at(-1)).toBe(true);
    expect(namesOf(left)).toBe("aaabbc");
  });

  test.each([
    ["the pod that has most", "aaaabba", "aaaabb"],
    ["one that would have as many", "aaabbbcab", "aabbbc"],
    ["a pod without any where nobody has two", "abcd", "abc"],
  ])("%s gets no more", (_, pods, left) => {
    const { quota, left: held, got } = ask({ perPod: 9, all: left.length }, pods);
    expect([namesOf(held), got.at(-1)]).toEqual([left, false]);
    expect(quota.isFull(pods.at(-1) ?? "")).toBe(true);
  });

  test("the kernel sends on those of pods that would get some", () => {
    const { quota } = ask({ perPod: 9, all: 8 }, "aaaabbbc");
    expect(["a", "b", "c", "d"].map((pod) => quota.isFull(pod))).toEqual([true, true, false, false]);
  });

  test("ten pods cannot keep the eleventh from its share, nor take it back", () => {
    const quota = new Quota({ perPod: 100, all: 1000 });
    const flood = () => {
      for (let i = 0; i < 5000; i++) quota.take(new Held(`pod ${i % 10}`));
    };
    flood();
    const held = Array.from({ length: 100 }, () => new Held("newcomer"));
    const had = held.filter((each) => quota.take(each));
    expect(had.length).toBeGreaterThanOrEqual(90);
    flood();
    expect(had.filter(({ isDisplaced }) => isDisplaced)).toEqual([]);
    expect(quota.size).toBe(1000);
  });
});

test("whoever comes and goes, it is counted, the most share evenly, and all are told what they have to know", () => {
  const limits = { perPod: 5, all: 12 };
  const pods = ["a", "b", "c", "d", "e", "f"];
  const step = fc.record({ pod: fc.constantFrom(...pods), leaves: fc.boolean(), which: fc.nat(4) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const told = new Map<string, boolean>();
      const look = (only?: string) => {
        for (const pod of pods) if (only === undefined || only === pod) told.set(pod, quota.isFull(pod));
      };
      const quota: Quota = new Quota(limits, look);
      look();
      let all: Held[] = [];
      for (const { pod, leaves, which } of steps) {
        const own = all.filter(({ podUid }) => podUid === pod);
        const leaver = leaves ? own[which] : undefined;
        if (leaver !== undefined) {
          quota.give(leaver);
          quota.give(leaver);
          all = all.filter((held) => held !== leaver);
        } else {
          const held = new Held(pod);
          const most = Math.max(...pods.map((each) => quota.of(each)));
          const room = own.length < limits.perPod && (all.length < limits.all || own.length + 1 < most);
          expect(quota.hasRoom(pod)).toBe(room);
          expect(quota.take(held)).toBe(room);
          if (room) all.push(held);
          all = all.filter(({ isDisplaced }) => !isDisplaced);
        }
        expect(quota.size).toBe(all.length);
        for (const each of pods) {
          expect(quota.of(each)).toBe(all.filter(({ podUid }) => podUid === each).length);
          expect([each, told.get(each)]).toEqual([each, quota.isFull(each)]);
        }
      }
    }),
  );
});

test("what was not taken is not given back", () => {
  const quota = new Quota({ perPod: 1, all: 1 });
  const held = new Held("a");
  quota.take(held);
  quota.give(new Held("a"));
  quota.give(new Held("b"));
  expect(quota.size).toBe(1);
  quota.give(held);
  quota.give(held);
  expect(quota.size).toBe(0);
});
