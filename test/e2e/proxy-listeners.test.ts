/** Where the proxy listens: in pods that need it and can be entered, by an agent and a broker that may do no more than the chart's. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { pidsOf } from "../lab/cgroup.ts";
import { must } from "../lab/command.ts";
import type { KubeObject, Pod } from "../lab/kube-objects.ts";
import { parseManifests } from "../lab/manifests.ts";
import { obstacle } from "./rig.ts";
import { allowed, both, denied } from "./support/attempt.ts";
import { denyAll, denyWhere } from "./support/endpoints.ts";
import { guard, namespaces, pod, server } from "./support/objects.ts";
import { HOLD, startPython } from "./support/python.ts";
import { openStage, type Stage } from "./support/stage.ts";
import { logLines } from "./support/verdict-lines.ts";

const someMoment = denyWhere("conn.client_port == 1");
/** Of nobody in `apart` does it hang on the connection. */
const notApart = denyWhere('conn.k8s.pod.metadata.namespace != "apart" && conn.client_port == 1');
const SYS_ADMIN = 21n;

/** Becomes a program of root with these capabilities and no others. */
function holding(capabilities: readonly string[]): string[] {
  const set = ["-all", ...capabilities.map((name) => `+${name.toLowerCase()}`)].join(",");
  return ["setpriv", `--bounding-set=${set}`, "--inh-caps=-all"];
}

/** Of each container of the chart's DaemonSet. */
function charted(): Record<string, readonly string[]> {
  const golden = join(import.meta.dirname, "../unit/chart/golden/default.yaml");
  const found = parseManifests(readFileSync(golden, "utf8")).find(({ kind }) => kind === "DaemonSet");
  const { spec } = found as unknown as { spec: { template: { spec: { containers: Confined[] } } } };
  return Object.fromEntries(
    spec.template.spec.containers.map(({ name, securityContext }) => [
      name,
      securityContext.capabilities.add,
    ]),
  );
}

interface Confined {
  readonly name: string;
  readonly securityContext: { readonly capabilities: { readonly add: readonly string[] } };
}

let stage: Stage;

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  const humble = pod("shop", "humble") as Pod;
  const [app] = humble.spec.containers;
  if (app !== undefined) app.command = [...holding([]), "sleep", "infinity"];
  stage = await openStage("listeners", [
    namespaces("bank", "shop", "apart"),
    ["open", "direct"].flatMap((name) => server("bank", name)),
    [pod("shop", "client"), pod("apart", "client"), humble] as KubeObject[],
    [guard("bank", "open", [notApart]), guard("bank", "direct", [denyWhere("false")])],
  ]);
});

afterEach(() => stage?.stopAgent(), 30_000);

afterAll(async () => {
  await stage?.close();
});

const serves = (from: string) =>
  stage.until(from, "open.bank:80", both(allowed("bank/open", { layer: "proxy" })));

/** Ports that somebody listens on in a pod that has no server. */
async function listening(key: string): Promise<number> {
  const found = await must(["nsenter", `--net=${stage.pod(key).netns}`, "ss", "-Hltn"]);
  return found.split("\n").filter((line) => line !== "").length;
}

describe.skipIf(obstacle() !== undefined)("the proxy", () => {
  test("has listeners in a pod from when one of its verdicts hangs on a connection until none does", async () => {
    await stage.startAgent();
    await serves("shop/client");
    const apart = (layer: RegExp) =>
      stage.until(
        "apart/client",
        "open.bank:80",
        both(allowed("bank/open", { layer: expect.stringMatching(layer) })),
      );
    await apart(/^connect/);
    expect([await listening("shop/client"), await listening("apart/client")]).toEqual([2, 0]);
    await stage.lab.apply([guard("bank", "open", [someMoment])]);
    await apart(/^proxy$/);
    expect(await listening("apart/client")).toBe(2);
    await stage.lab.apply([guard("bank", "open", [notApart])]);
    await apart(/^connect/);
    await stage.lab.waitFor(
      "its listeners to be closed",
      async () => (await listening("apart/client")) === 0,
    );
    expect(await listening("shop/client")).toBe(2);
  });

  test("needs no more capabilities than the chart gives: SYS_ADMIN for the broker, not for the agent", async () => {
    const { agent = [], "socket-broker": broker = [] } = charted();
    expect(agent).not.toContain("SYS_ADMIN");
    await stage.startAgentUnder({ agent: holding(agent), broker: holding(broker) });
    await serves("shop/client");
    const effective = (container: string) => {
      const [pid = 0] = pidsOf(stage.lab.pod("podgate-system", stage.agent).containerCgroup(container));
      return BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]}`);
    };
    const names = ["agent", "socket-broker"];
    expect(names.map((name) => (effective(name) >> SYS_ADMIN) & 1n)).toEqual([0n, 1n]);
    expect(names.map((name) => effective(name).toString(2).replaceAll("0", "").length)).toEqual([
      agent.length,
      broker.length,
    ]);
    // Open connections can be ended, those in the proxy and the others.
    const held = ["open", "direct"].map((name) =>
      startPython<string>(stage.pod("shop/client"), HOLD, stage.service(`${name}.bank:80`).IPv4),
    );
    for (const each of held) expect(await each.next()).toMatch(/^bank\//);
    await stage.lab.apply(["open", "direct"].map((name) => guard("bank", name, [denyAll])));
    for (const name of ["open", "direct"])
      await stage.until("shop/client", `${name}.bank:80`, both(denied()));
    // A dial that came just before may have been ended too.
    const revoked = async () => logLines(await stage.log()).filter(({ reason }) => reason === "revoked");
    await stage.lab.waitFor("both to be ended", async () => (await revoked()).length >= 2);
    for (const each of held) each.tell();
    expect(await Promise.all(held.map(({ next }) => next()))).toEqual(["ECONNRESET", "ECONNABORTED"]);
    await stage.lab.apply([guard("bank", "open", [notApart])]);
  });

  test("says once which pod it cannot enter: what is undecided of that one is refused, others are served", async () => {
    const { agent = [], "socket-broker": broker = [] } = charted();
    // It may look into processes that hold no capability which it has not.
    const confined = broker.filter((name) => name !== "SYS_PTRACE");
    await stage.startAgentUnder({ agent: holding(agent), broker: holding(confined) });
    await serves("shop/humble");
    const refused = both(denied({ reason: "pending", layer: expect.stringMatching(/^connect/) }));
    expect(await stage.dial("shop/client", "open.bank:80")).toMatchObject(refused);
    expect(await listening("shop/client")).toBe(0);
    const lines = async () => {
      const all = logLines(await stage.log()).filter(({ msg }) =>
        String(msg).startsWith("a pod has no listener"),
      );
      return all.filter((line) => line.pod === stage.pod("shop/client").uid);
    };
    const failed = expect.stringMatching(/: enter namespace \d+ of .*: EACCES: /);
    await stage.lab.waitFor("its line", async () => (await lines()).length > 0);
    await stage.relistPods();
    await serves("shop/humble");
    expect(await lines()).toMatchObject([{ error: failed }]);
  });
});
