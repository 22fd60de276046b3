/** The kernel may hand a program an entry that has just become another's: what does not say whose it is, or says another's, refuses. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeU32, layouts } from "../../agent/dataplane/abi.ts";
import { mapPin } from "../../agent/dataplane/kernel.ts";
import { type BpfMap, loadNative } from "../../agent/dataplane/native.ts";
import { type Entry, readEntries } from "../../agent/dataplane/table.ts";
import { leftovers } from "../lab/cleanup.ts";
import { type Lab, startLab } from "../lab/lab.ts";
import { obstacle } from "./rig.ts";
import { type Dialled, dial } from "./support/dial.ts";
import { denyOutside, guard, namespaces, pod, server } from "./support/objects.ts";
import { lineOf } from "./support/verdict-lines.ts";

/** What says whose an entry is: map, member, where the kernel looks instead of believing it, the verdict's reason. */
const members = [
  ["pods_by_cgroup", "cgroup", layouts.pod_ref.cgroup, "identity-mismatch"],
  ["guards", "number", layouts.guard.number, "pending"],
  ["verdicts", "guard", layouts.verdict.guard, "pending"],
  ["verdicts", "version", layouts.verdict.version, "pending"],
  ["verdicts", "subject", layouts.verdict.subject, "pending"],
] as const;

describe.skipIf(obstacle() !== undefined)("an entry that says it is another's", () => {
  let lab: Lab;
  let agent: string;

  beforeAll(async () => {
    lab = await startLab({ name: `foreign-${process.pid}` });
    await lab.apply([
      ...namespaces("shop", "friends"),
      pod("friends", "client"),
      ...server("shop", "back"),
      guard("shop", "back", [denyOutside("friends")]),
    ]);
    await lab.settled();
    agent = await lab.startAgent({ args: ["--events-per-second", "1000"] });
  });

  afterAll(async () => {
    await lab?.stop();
    if (lab !== undefined) expect(leftovers(lab.names)).toEqual([]);
  });

  const back = () => lab.pod("shop", "back");
  const dialBack = (): Promise<Dialled> => dial(lab.pod("friends", "client"), back().ipv4, 8080);

  test.each(members)("in %s, by `%s`, refuses", async (mapName, _, offset, reason) => {
    expect((await dialBack()).error).toBeUndefined();
    const restore = disown(mapName, offset);
    try {
      const refused = await dialBack();
      expect(refused.error).toBe("EPERM");
      expect(await lineOf(refused, () => lab.log("podgate-system", agent))).toMatchObject({
        verdict: "deny",
        reason,
      });
    } finally {
      restore();
    }
    expect((await dialBack()).error).toBeUndefined();
  });

  /** Changes the member in every entry. Returns what puts it back. */
  function disown(mapName: string, offset: number): () => void {
    const map: BpfMap = loadNative().BpfMap.open(mapPin(lab.names.pinDir, mapName));
    const entries = readEntries(map).filter(({ value }) => value.some((byte) => byte !== 0));
    expect(entries.length).toBeGreaterThan(0);
    for (const entry of entries) map.put(entry.key, changed(entry, offset));
    return () => {
      for (const { key, value } of entries) map.put(key, value);
      map.close();
    };
  }

  function changed({ value }: Entry, offset: number): Buffer {
    const other = Buffer.from(value);
    encodeU32((value.readUInt32LE(offset) ^ 1) >>> 0).copy(other, offset);
    return other;
  }
});
