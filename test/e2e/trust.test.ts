/** Who the caller is, whatever happens to addresses, names, events and annotations. Numbers are those of the threat table. */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { NODE_NAME } from "../lab/addresses.ts";
import type { HeldEvents } from "../lab/apiserver/event-faults.ts";
import type { Pod } from "../lab/kube-objects.ts";
import type { PodHandle } from "../lab/pod-handle.ts";
import { obstacle } from "./rig.ts";
import { allowed, both, denied, unresolved } from "./support/attempt.ts";
import { type Barrage, barrage, dialMany, type Target } from "./support/barrage.ts";
import { dial } from "./support/dial.ts";
import { denyUnresolved, denyWhere } from "./support/endpoints.ts";
import { guard, namespaces, type PodWish, pod, server } from "./support/objects.ts";
import { openStage, type Stage } from "./support/stage.ts";

const CLOSED = "closed.vault:80";
const OPEN = "open.vault:80";
const PRODUCTION = "production.vault:80";
const HEARD = "k8s.ngrok.com/heard";
const ENVIRONMENT = "k8s.ngrok.com/environment";
const WANTED_IP = "lab.podgate.dev/ip";

const outside = 'conn.k8s.pod.metadata.namespace != "payments"';
const annotation = (key: string) => `conn.k8s.pod.metadata.annotations["${key}"]`;
const welcome = (name: string, line: object = {}) =>
  allowed(`vault/${name}`, { reason: "fell-through", ...line });

let stage: Stage;

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  const guarded = (name: string, ...rules: Parameters<typeof guard>[2]) => [
    ...server("vault", name),
    guard("vault", name, rules),
  ];
  stage = await openStage("trust", [
    namespaces("vault", "payments", "sandbox"),
    guarded("closed", denyUnresolved, denyWhere(outside)),
    guarded("open", denyWhere(`conn.k8s.pod.metadata.error_code == "" && ${outside}`)),
    guarded("heard", denyWhere(`!("${HEARD}" in conn.k8s.pod.metadata.annotations)`)),
    guarded("production", denyUnresolved, denyWhere(`${annotation(ENVIRONMENT)} != "production"`)),
    guarded("early-key", denyWhere(`${annotation("k8s.ngrok.com/a")} != "1"`)),
    guarded("late-key", denyWhere(`${annotation("k8s.ngrok.com/z")} != "1"`)),
    [pod("payments", "client"), pod("sandbox", "client")],
    [pod("payments", "host", { hostNetwork: true }), pod("sandbox", "host", { hostNetwork: true })],
  ]);
  await stage.startAgent();
});

afterAll(async () => {
  await stage?.close();
});

afterEach(() => {
  if (stage === undefined) return;
  // So that a test that fails does not take the others with it.
  stage.lab.api.faults.clear();
  stage.lab.kubelet.resume();
});

async function start(object: Pod): Promise<PodHandle> {
  await stage.lab.apply([object]);
  return running(object.metadata.namespace ?? "", object.metadata.name, object.metadata.uid);
}

function running(namespace: string, name: string, uid?: string): Promise<PodHandle> {
  return stage.lab.waitFor(`pod ${namespace}/${name} to run`, () => {
    try {
      const handle = stage.lab.pod(namespace, name);
      handle.containerCgroup();
      return (uid === undefined || handle.uid === uid) && handle;
    } catch {
      return false;
    }
  });
}

const path = ({ namespace, name }: PodHandle) => `/api/v1/namespaces/${namespace}/pods/${name}`;

function gone({ namespace, name, uid }: PodHandle): Promise<boolean> {
  return stage.lab.waitFor(`pod ${namespace}/${name} to leave the node`, () => {
    try {
      return stage.lab.pod(namespace, name).uid !== uid;
    } catch {
      return true;
    }
  });
}

/** The agent has heard of everything that happened to pods before this call: its reflectors keep the order. */
async function untilHeard(caller: PodHandle): Promise<void> {
  const object = stage.lab.api.store.get("pods", caller.namespace, caller.name);
  const heard = object.metadata.annotations?.[HEARD] === undefined;
  await stage.lab.client.merge(path(caller), {
    metadata: { annotations: { [HEARD]: heard ? "yes" : null } },
  });
  const expected = heard ? welcome("heard") : denied({ reason: "rule" });
  await stage.until(caller, "heard.vault:80", both(expected));
}

describe.skipIf(obstacle() !== undefined)("an address given to another pod", () => {
  let addresses = 0;

  /** A pod that is let in, and one that is not and gets its address; both live for one test. */
  async function pair(wish: { restartPolicy?: "Never" } = {}): Promise<{ old: PodHandle; heir: Pod }> {
    const number = ++addresses;
    const annotations = { [WANTED_IP]: `10.244.50.${number}` };
    const object = pod("payments", `old-${number}`, { annotations });
    const old = await start({ ...object, spec: { ...object.spec, ...wish } });
    await stage.until(old, CLOSED, both(welcome("closed", { pod: { uid: old.uid } })));
    await stage.until(old, OPEN, both(welcome("open", { pod: { uid: old.uid } })));
    return { old, heir: pod("sandbox", `heir-${number}`, { annotations, uid: randomUUID() }) };
  }

  function targets(...services: readonly string[]): readonly Target[] {
    return services.flatMap((service) => {
      const { IPv4, IPv6, port } = stage.service(service);
      return [
        { address: IPv4, port },
        { address: IPv6, port },
      ];
    });
  }

  const flood = (from: PodHandle, ...services: readonly string[]) => barrage(from, targets(...services));

  /** During the barrage, and in 10,000 connects and more after it. */
  async function expectNoneAllowed(
    connects: Barrage,
    from: PodHandle,
    ...services: readonly string[]
  ): Promise<void> {
    const during = await connects.stop();
    const after = await dialMany(from, targets(...services), { rounds: 10_000 / services.length });
    for (const { ok, errors } of [...during.targets, ...after.targets]) {
      expect({ ok, errors: Object.keys(errors) }).toEqual({ ok: 0, errors: ["EPERM"] });
    }
  }

  /** Known as itself: even fail-open denies it. Not for a Service under flood, where few connects have a line. */
  async function expectItself(heir: PodHandle, ...services: readonly string[]): Promise<void> {
    const itself = {
      reason: "rule",
      pod: { namespace: "sandbox", name: heir.name, uid: heir.uid },
      error_code: "",
    };
    for (const service of services) await stage.until(heir, service, both(denied(itself)));
  }

  /** What is heard late of the old pod lets its heir in nowhere. */
  async function expectNoneAllowedBy(late: HeldEvents, heir: PodHandle): Promise<void> {
    await expectItself(heir, CLOSED, OPEN);
    const connects = flood(heir, CLOSED, OPEN);
    expect(late.count).toBeGreaterThan(0);
    late.release();
    await untilHeard(heir);
    await expectNoneAllowed(connects, heir, CLOSED, OPEN);
    await expectItself(heir, CLOSED, OPEN);
  }

  /** Runs without kubelet's watch, which the events that are to come would confuse. */
  async function startUnannounced(heir: Pod): Promise<PodHandle> {
    const handle = await stage.lab.runUnannounced(heir);
    const object = { ...heir, spec: { ...heir.spec, nodeName: NODE_NAME } };
    stage.lab.api.store.create("pods", object as never, { uid: handle.uid });
    const podIPs = [{ ip: handle.ipv4 }, { ip: handle.ipv6 }];
    const ready = { type: "Ready", status: "True", lastTransitionTime: new Date().toISOString() };
    const status = { phase: "Running", podIP: handle.ipv4, podIPs, conditions: [ready] };
    await stage.lab.client.merge(`${path(handle)}/status`, { status });
    return handle;
  }

  async function end(heir: PodHandle): Promise<void> {
    await stage.lab.deletePod(heir.namespace, heir.name);
    await stage.lab.settled();
  }

  test("trust 3: CREATE of the new pod, then DELETE of the old one, late", async () => {
    const { old, heir } = await pair();
    const late = stage.lab.api.faults.holdEvents({ resource: "pods", name: old.name, type: "DELETED" });
    await stage.lab.deletePod(old.namespace, old.name);
    const { uid: _, ...metadata } = heir.metadata;
    const handle = await start({ ...heir, metadata });
    expect(handle.ipv4).toBe(old.ipv4);
    await expectNoneAllowedBy(late, handle);
    await end(handle);
  });

  test("trust 3: DELETE of the old pod, then CREATE of the new one, late", async () => {
    const { old, heir } = await pair();
    await stage.lab.deletePod(old.namespace, old.name);
    const late = stage.lab.api.faults.holdEvents({ resource: "pods", name: heir.metadata.name });
    const handle = await startUnannounced(heir);
    expect(handle.ipv4).toBe(old.ipv4);
    const connects = flood(handle, CLOSED);
    // Fail-open lets in who cannot be identified: not as the pod that had the address.
    expect(await stage.dial(handle, OPEN)).toMatchObject(both(welcome("open", unresolved)));
    expect(late.count).toBeGreaterThan(0);
    late.release();
    await expectItself(handle, OPEN);
    await untilHeard(handle);
    await expectNoneAllowed(connects, handle, CLOSED);
    await expectItself(handle, CLOSED, OPEN);
    await end(handle);
  });

  test("trust 3: MODIFIED of the old pod after its DELETE", async () => {
    const { old, heir } = await pair();
    const late = stage.lab.api.faults.holdEvents({ resource: "pods", name: old.name, type: "MODIFIED" });
    await stage.lab.client.merge(path(old), { metadata: { annotations: { late: "yes" } } });
    await stage.lab.client.delete(path(old), { gracePeriodSeconds: 0 });
    await gone(old);
    stage.lab.kubelet.pause();
    const handle = await startUnannounced(heir);
    expect(handle.ipv4).toBe(old.ipv4);
    await expectNoneAllowedBy(late, handle);
    await stage.relistPods();
    await untilHeard(handle);
    await expectItself(handle, CLOSED, OPEN);
    stage.lab.kubelet.resume();
    await end(handle);
  });

  test("trust 3: every event of both pods in the reverse order", async () => {
    const { old, heir } = await pair({ restartPolicy: "Never" });
    const late = stage.lab.api.faults.holdEvents({ resource: "pods" });
    // It ends by itself, so that its address is free before anybody hears of it.
    const [pid = ""] = readFileSync(join(old.containerCgroup(), "cgroup.procs"), "utf8").split("\n");
    process.kill(Number(pid), "SIGTERM");
    await gone(old);
    stage.lab.kubelet.pause();
    await stage.lab.client.delete(path(old), { gracePeriodSeconds: 0 });
    const handle = await startUnannounced(heir);
    expect(handle.ipv4).toBe(old.ipv4);
    const before = flood(handle, CLOSED);
    expect(late.count).toBeGreaterThan(3);
    late.release("reversed");
    await expectItself(handle, OPEN);
    const after = flood(handle, OPEN);
    await untilHeard(handle);
    await expectNoneAllowed(after, handle, OPEN);
    await expectNoneAllowed(before, handle, CLOSED);
    await stage.relistPods();
    await untilHeard(handle);
    await expectItself(handle, CLOSED, OPEN);
    stage.lab.kubelet.resume();
    await end(handle);
  });

  test.each([
    ["sandbox", "payments", denied({ reason: "rule" }), denied({ reason: "rule" })],
    ["payments", "sandbox", welcome("closed"), welcome("open")],
  ])("trust 4: a running pod of %s is itself beside a completed one of %s with its address", async (own, other, closed, open) => {
    const annotations = { [WANTED_IP]: `10.244.51.${++addresses}` };
    const job = pod(other, `job-${addresses}`, { annotations });
    job.spec.restartPolicy = "Never";
    for (const container of job.spec.containers) container.command = ["true"];
    await stage.lab.apply([job]);
    const status = () => stage.lab.api.store.get("pods", other, job.metadata.name).status as Pod["status"];
    await stage.lab.waitFor("the job to complete", () => status()?.phase === "Succeeded");
    const heir = await start(pod(own, `runner-${addresses}`, { annotations }));
    expect(status()?.podIPs).toContainEqual({ ip: heir.ipv4 });
    const itself = { line: { pod: { namespace: own, name: heir.name, uid: heir.uid }, error_code: "" } };
    await stage.until(heir, CLOSED, both(itself));
    expect(await stage.dial(heir, CLOSED)).toMatchObject(both(closed));
    expect(await stage.dial(heir, OPEN)).toMatchObject(both(open));
    expect(await stage.dial(heir, OPEN)).toMatchObject(both(itself));
  });
});

describe.skipIf(obstacle() !== undefined)("a name given to another pod", () => {
  const stubborn = (): Pod => {
    const object = pod("payments", "web-0");
    for (const container of object.spec.containers) {
      container.command = ["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"];
    }
    return object;
  };

  test("trust 5: the terminating and the new pod of a StatefulSet are logged by their own ids", async () => {
    const itself = ({ uid }: PodHandle) => ({
      pod: { namespace: "payments", name: "web-0", uid },
      error_code: "",
    });
    const old = await start(stubborn());
    await stage.until(old, CLOSED, both(welcome("closed", itself(old))));
    await stage.lab.client.delete(path(old), { gracePeriodSeconds: 600 });
    await untilHeard(old);
    expect(await stage.dial(old, CLOSED)).toMatchObject(both(welcome("closed", itself(old))));

    // Deleted by force: the object is gone, the processes are not. A new one of the name runs beside them.
    const release = stage.lab.kubelet.keep(old.uid);
    const late = stage.lab.api.faults.holdEvents({ resource: "pods", name: "web-0", type: "DELETED" });
    await stage.lab.client.delete(path(old), { gracePeriodSeconds: 0 });
    await stage.lab.apply([stubborn()]);
    const { uid = "" } = stage.lab.api.store.get("pods", "payments", "web-0").metadata;
    expect(uid).not.toBe(old.uid);
    const young = await running("payments", "web-0", uid);
    await stage.until(young, CLOSED, both(welcome("closed", itself(young))));
    // Two pods of one name run now, and each is logged by its own id.
    expect(await stage.dial(old, CLOSED)).toMatchObject(both(welcome("closed", itself(old))));
    expect(await stage.dial(young, CLOSED)).toMatchObject(both(welcome("closed", itself(young))));

    // The old one's DELETE, late: the new one stays who it is.
    stage.lab.kubelet.pause();
    expect(late.count).toBeGreaterThan(0);
    late.release();
    await untilHeard(young);
    expect(await stage.dial(young, CLOSED)).toMatchObject(both(welcome("closed", itself(young))));
    expect(await stage.dial(old, CLOSED)).toMatchObject(both(welcome("closed", itself(old))));
    await stage.relistPods();
    stage.lab.kubelet.resume();
    release();
    await stage.lab.deletePod("payments", "web-0", { gracePeriodSeconds: 0 });
  });
});

describe.skipIf(obstacle() !== undefined)("other ways to the same address", () => {
  test("trust 6: a v4-mapped IPv6 address is the IPv4 address", async () => {
    const { IPv4, IPv6, port } = stage.service(CLOSED);
    const mapped = { IPv4: `::ffff:${IPv4}`, IPv6, port };
    const refused = await stage.dial("sandbox/client", mapped);
    expect(refused).toMatchObject(both(denied({ reason: "rule", layer: "connect6" })));
    expect(refused.IPv4.line?.destination).toEqual({ address: IPv4, port, service: "vault/closed" });
    expect(await stage.dial("payments/client", mapped)).toMatchObject(
      both(welcome("closed", { layer: "connect6" })),
    );
  });

  test("trust 6: UDP to a guarded port is not judged, as the README says: it passes and has no verdict", async () => {
    const { IPv4, IPv6, port } = stage.podAt("vault/closed", 8080);
    const from = stage.pod("sandbox/client");
    const comms: string[] = [];
    for (const address of [IPv4, IPv6, `::ffff:${IPv4}`]) {
      for (const method of ["udp-sendto", "udp-connect"] as const) {
        const { reply, comm } = await dial(from, address, port, { method });
        expect(reply).toBe(`vault/closed ${address === IPv6 ? from.ipv6 : from.ipv4}`);
        comms.push(comm);
      }
    }
    const lines = await stage.linesUntilNow(from);
    expect(lines.filter(({ process }) => comms.includes(process?.comm ?? ""))).toEqual([]);
  });
});

describe.skipIf(obstacle() !== undefined)("annotations", () => {
  const pad = "k8s.ngrok.com/pad";
  const bytes = (annotations: Record<string, string>) =>
    Object.entries(annotations).reduce((sum, entry) => sum + Buffer.byteLength(entry.join("")), 0);

  /** Fills up to `total` bytes, with two-byte characters as far as they go if asked. */
  function padded(
    annotations: Record<string, string>,
    total: number,
    character: "x" | "é" = "x",
  ): Record<string, string> {
    const room = total - bytes({ ...annotations, [pad]: "" });
    const filling = character.repeat(Math.floor(room / Buffer.byteLength(character)));
    const full = { ...annotations, [pad]: filling + "x".repeat(room - Buffer.byteLength(filling)) };
    expect(bytes(full)).toBe(total);
    return full;
  }

  /** 10,000 of them. */
  const crowd = (prefix: string) =>
    Object.fromEntries(Array.from({ length: 10_000 }, (_, n) => [`${prefix}key-${n}`, "v"]));

  const production = { [ENVIRONMENT]: "production" };
  const oversized = { error_code: "ERR_NGROK_28000" };
  const cut = denied({ reason: "rule", rule: { index: 0 }, ...oversized });
  const fits = welcome("production", { error_code: "" });
  const lookAlikes = Object.fromEntries(
    [
      "k8s.ngrok.com.evil/",
      "K8S.NGROK.COM/",
      "xk8s.ngrok.com/",
      "k8s.ngrok.com",
      "k8s.ngrok.com-/",
      "k8s-ngrok.com/",
    ].map((prefix) => [`${prefix}environment`, "production"]),
  );

  const rows: readonly (readonly [string, Record<string, string>, object])[] = [
    ["1024 bytes", padded(production, 1024), fits],
    ["1025 bytes", padded(production, 1025), cut],
    ["1024 bytes in fewer characters", padded(production, 1024, "é"), fits],
    ["1025 bytes in fewer characters", padded(production, 1025, "é"), cut],
    ["10,000 keys", { ...production, ...crowd("k8s.ngrok.com/") }, cut],
    ["10,000 keys of others", { ...production, ...crowd("example.com/") }, fits],
    ["look-alike prefixes", lookAlikes, denied({ reason: "expression-error", error_code: "" })],
  ];

  const slug = (text: string) => text.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
  const callers = new Map<string, PodHandle>();

  beforeAll(async () => {
    const wish = (annotations: Record<string, string>): PodWish => ({ annotations });
    await stage.lab.apply(rows.map(([name, annotations]) => pod("sandbox", slug(name), wish(annotations))));
    const keys = { "k8s.ngrok.com/a": "1", "k8s.ngrok.com/z": "1" };
    await stage.lab.apply([
      pod("sandbox", "keys-fit", wish(padded(keys, 1024))),
      pod("sandbox", "keys-cut", wish(padded(keys, 1025))),
    ]);
    await stage.lab.settled();
    for (const name of [...rows.map(([name]) => slug(name)), "keys-fit", "keys-cut"]) {
      callers.set(name, stage.lab.pod("sandbox", name));
    }
  });

  const caller = (name: string) => callers.get(name) as PodHandle;
  const itself = (name: string) => ({ pod: { namespace: "sandbox", name, uid: caller(name).uid } });

  test.each(rows)("trust 11: %s", async (name, _, expected) => {
    await stage.until(caller(slug(name)), PRODUCTION, both({ line: itself(slug(name)) }));
    expect(await stage.dial(caller(slug(name)), PRODUCTION)).toMatchObject(both(expected));
  });

  test("trust 11: too many bytes cut the annotations, in the order of their keys, and nothing else", async () => {
    await stage.until(caller("keys-fit"), "late-key.vault:80", both(welcome("late-key", { error_code: "" })));
    expect(await stage.dial(caller("keys-fit"), "early-key.vault:80")).toMatchObject(
      both(welcome("early-key")),
    );
    const surfaced = welcome("early-key", { ...oversized, ...itself("keys-cut") });
    await stage.until(caller("keys-cut"), "early-key.vault:80", both(surfaced));
    const missing = denied({
      reason: "expression-error",
      error: expect.stringContaining("k8s.ngrok.com/z"),
      ...oversized,
    });
    expect(await stage.dial(caller("keys-cut"), "late-key.vault:80")).toMatchObject(both(missing));
    // A policy that fails open for any error code lets it in, and the log still knows who it is.
    const failedOpen = welcome("open", { ...oversized, ...itself("keys-cut") });
    expect(await stage.dial(caller("keys-cut"), OPEN)).toMatchObject(both(failedOpen));
    expect(await stage.dial(caller("keys-cut"), CLOSED)).toMatchObject(both(cut));
  });
});

describe.skipIf(obstacle() !== undefined)("a hostNetwork pod", () => {
  test("trust 10: is nobody: fail-closed denies it, fail-open lets it in, and it is never another pod", async () => {
    for (const from of ["payments/host", "sandbox/host"]) {
      expect(await stage.dial(from, CLOSED)).toMatchObject(
        both(denied({ reason: "rule", rule: { index: 0 }, ...unresolved })),
      );
      expect(await stage.dial(from, OPEN)).toMatchObject(both(welcome("open", unresolved)));
      expect(await stage.dial(from, stage.podAt("vault/closed", 8080))).toMatchObject(
        both(denied({ reason: "rule", ...unresolved })),
      );
    }
  });

  test("trust 10: is itself where --host-network-identity cgroup says so, and never another pod", async () => {
    await stage.restartAgent("--host-network-identity", "cgroup");
    const itself = (from: string) => ({
      pod: { namespace: from.split("/")[0], name: "host", uid: stage.pod(from).uid },
      error_code: "",
    });
    expect(await stage.dial("payments/host", CLOSED)).toMatchObject(
      both(welcome("closed", itself("payments/host"))),
    );
    for (const service of [CLOSED, OPEN]) {
      expect(await stage.dial("sandbox/host", service)).toMatchObject(
        both(denied({ reason: "rule", ...itself("sandbox/host") })),
      );
    }
    expect(await stage.dial("sandbox/client", CLOSED)).toMatchObject(
      both(denied({ reason: "rule", pod: { name: "client" } })),
    );
  });
});
