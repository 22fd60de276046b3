/** Open connections of pods that have very many sockets, and of their neighbours. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { obstacle } from "./rig.ts";
import { crowd } from "./support/crowd.ts";
import { hold } from "./support/hold.ts";
import { denyOutside, guard, namespaces, pod, server } from "./support/objects.ts";
import { openStage, type Stage } from "./support/stage.ts";
import { verdictLines } from "./support/verdict-lines.ts";

/** Read in one go they take four seconds. */
const SOCKETS = Number(process.env.PODGATE_CROWD ?? 100_000);
const LONGEST_MS = 1500;

describe.skipIf(obstacle() !== undefined)("open connections of a pod with very many sockets", () => {
  let stage: Stage;

  beforeAll(async () => {
    stage = await openStage("crowd", [
      [
        ...namespaces("vault", "foes"),
        ...server("vault", "ledger"),
        pod("foes", "crowd"),
        pod("foes", "other"),
      ],
    ]);
    await stage.startAgent();
  });
  afterAll(() => stage?.close());

  test("are ended when they are forbidden, and so are those of other pods", async () => {
    await stage.lab.apply([guard("vault", "ledger", [denyOutside("friends", "foes")])]);
    await stage.until("foes/crowd", "ledger.vault:80", { IPv4: { saw: "vault/ledger" } });
    await stage.until("foes/other", "ledger.vault:80", { IPv4: { saw: "vault/ledger" } });
    const { IPv4, port } = stage.service("ledger.vault:80");
    const names = ["crowd", "other"];
    const holdAll = (some: readonly string[]) =>
      Promise.all(some.map((name) => hold(stage.pod(`foes/${name}`), IPv4, port, 3)));
    // Older and younger than the others, at the very port that is guarded.
    const older = await holdAll(["crowd"]);
    const disperse = await crowd(stage.pod("foes/crowd"), port, SOCKETS);
    const holders = [...older, ...(await holdAll(names))];
    const since = Date.now();
    await stage.lab.apply([guard("vault", "ledger", [denyOutside("friends")])]);
    const lines = await stage.lab.waitFor("9 revoked lines", async () => {
      const found = verdictLines(await stage.log()).filter(({ reason }) => reason === "revoked");
      return found.length >= 9 && found;
    });
    for (const name of names) {
      const took = lines.filter(({ pod }) => pod?.name === name).map(({ time }) => time - since);
      console.log(`${took.length} of ${name}, beside ${SOCKETS} sockets, in ${Math.max(...took)} ms`);
      expect(Math.max(...took)).toBeLessThan(LONGEST_MS);
    }
    for (const holder of holders) expect(await holder.talk()).toEqual(Array(3).fill("ECONNABORTED"));
    await Promise.all(holders.map((holder) => holder.end()));
    await disperse();
  });
});
