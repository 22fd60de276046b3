/** Every way to a guarded pod has its guard, and no claim about an address shuts somebody else's. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { NODE_IPV4, NODE_IPV6 } from "../lab/addresses.ts";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { allowed, both, denied, unguarded } from "./support/attempt.ts";
import { cloudEndpoint, denyAll, failClosed } from "./support/endpoints.ts";
import { guard, namespaces, pod, server, service } from "./support/objects.ts";
import { type Destination, openStage, type Stage } from "./support/stage.ts";

const NODE_PORT = 30432;
const EXTERNAL = { IPv4: "203.0.113.9", IPv6: "2001:db8:e::9", port: 80 };
/** What the lab's pods have as their gateway: an address of the node that no Node object names. */
const GATEWAY_IPV4 = "169.254.1.1";

/** Of a Service: one slice for each family, as a person or a controller of their own would write it. */
function slices(
  namespace: string,
  service: string,
  { IPv4, IPv6, port }: Pick<Destination, "IPv4" | "IPv6" | "port">,
): KubeObject[] {
  const slice = (addressType: "IPv4" | "IPv6", address: string) => ({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      namespace,
      name: `${service}-${addressType.toLowerCase()}`,
      labels: { "kubernetes.io/service-name": service },
    },
    addressType,
    ports: [{ name: "", protocol: "TCP", port }],
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
  });
  return [slice("IPv4", IPv4), slice("IPv6", IPv6)] as KubeObject[];
}

/** A Service without a selector: its slices are made by hand. */
function selectorless(namespace: string, name: string, spec: Record<string, unknown> = {}): KubeObject {
  const { spec: made, ...rest } = service(namespace, name, spec);
  const { selector: _, ...others } = made;
  return { ...rest, spec: others } as KubeObject;
}

/** Of the namespace `bank`, whose pods alone may connect. */
const policy = { policy: { kind: "ConnectionPolicy", namespace: "bank", name: "db" } };
const refused = both(denied({ reason: "rule", ...policy }));
const untouched = (by: string) => both(unguarded(by));

let stage: Stage;

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  const outside = { expressions: ['conn.k8s.pod.metadata.namespace != "bank"'], actions: [{ type: "deny" }] };
  stage = await openStage("shared", [
    namespaces("bank", "shop", "rogue"),
    [
      pod("bank", "db", { labels: { app: "db" }, ports: [8080, 9000] }),
      pod("bank", "spare", {
        labels: { app: "db" },
        ports: [8080],
        annotations: { "lab.podgate.dev/ready": "false" },
      }),
      service("bank", "db"),
      service("bank", "db-ro", { selector: { app: "db" } }),
      service("bank", "db-metrics", { selector: { app: "db" }, ports: [{ port: 80, targetPort: 9000 }] }),
      service("bank", "db-outside", {
        type: "LoadBalancer",
        selector: { app: "db" },
        ports: [{ port: 80, targetPort: 8080, nodePort: NODE_PORT }],
        externalIPs: [EXTERNAL.IPv4, EXTERNAL.IPv6],
      }),
      guard("bank", "db", [outside]),
    ],
    [...server("shop", "web"), pod("shop", "node-web", { hostNetwork: true, ports: [8088] })],
    [pod("bank", "client"), pod("shop", "client"), pod("rogue", "client")],
  ] as KubeObject[][]);
  await stage.lab.apply([
    selectorless("rogue", "way-in"),
    ...slices("rogue", "way-in", stage.podAt("bank/db", 8080)),
  ]);
  await stage.lab.settled();
  await stage.startAgent();
});

afterAll(async () => {
  await stage?.close();
});

const nodePort = { IPv4: NODE_IPV4, IPv6: NODE_IPV6, port: NODE_PORT };
/** The load balancer's, as the lab assigned them. */
function balancer(): Destination {
  const { status } = stage.lab.api.store.get("services", "bank", "db-outside") as unknown as {
    status: { loadBalancer: { ingress: { ip: string }[] } };
  };
  const [a = "", b = ""] = status.loadBalancer.ingress.map(({ ip }) => ip);
  return a.includes(":") ? { IPv4: b, IPv6: a, port: 80 } : { IPv4: a, IPv6: b, port: 80 };
}

describe.skipIf(obstacle() !== undefined)("past a guard leads", () => {
  const ways: readonly (readonly [string, () => string | Destination])[] = [
    ["the guarded Service itself", () => "db.bank:80"],
    ["no unguarded Service beside it", () => "db-ro.bank:80"],
    ["no Service of another namespace with hand-made EndpointSlices", () => "way-in.rogue:80"],
    ["no node port, on the node's address", () => nodePort],
    [
      "no node port, on an address of the node that no Node object names",
      () => ({ ...nodePort, IPv4: GATEWAY_IPV4 }),
    ],
    ["no external IP", () => EXTERNAL],
    ["no load balancer's IP", balancer],
    ["not the pod's own address", () => stage.podAt("bank/db", 8080)],
  ];

  test.each(ways)("%s", async (_, way) => {
    expect(await stage.dial("shop/client", way())).toMatchObject(refused);
    expect(await stage.dial("rogue/client", way())).toMatchObject(refused);
    const welcome = allowed("bank/db", { reason: "fell-through" });
    expect(await stage.dial("bank/client", way())).toMatchObject(both(welcome));
  });

  test("not the address of a backend that is not ready", async () => {
    expect(await stage.dial("shop/client", stage.podAt("bank/spare", 8080))).toMatchObject(refused);
  });

  test("no backend that comes later", async () => {
    await stage.lab.apply([pod("bank", "late", { labels: { app: "db" }, ports: [8080] })]);
    await stage.lab.settled();
    await stage.until("shop/client", stage.podAt("bank/late", 8080), refused);
    await stage.lab.deletePod("bank", "late");
  });

  test("no slice that comes later, to another Service that leads on", async () => {
    // From the rogue's Service to the bank's own address, from where kube-proxy would not lead on, but others do.
    await stage.lab.apply([
      selectorless("rogue", "detour"),
      ...slices("rogue", "detour", stage.service("db-ro.bank:80")),
    ]);
    await stage.until("shop/client", "detour.rogue:80", refused);
  });

  test("another port of the same pod, which nobody guards", async () => {
    expect(await stage.dial("shop/client", "db-metrics.bank:80")).toMatchObject(untouched("bank/db"));
    expect(await stage.dial("shop/client", stage.podAt("bank/db", 9000))).toMatchObject(untouched("bank/db"));
  });
});

describe.skipIf(obstacle() !== undefined)("a claim about somebody else's address", () => {
  const shutBy = both(denied({ reason: "rule", policy: { namespace: "rogue" } }));
  const nodeWeb = { IPv4: NODE_IPV4, IPv6: NODE_IPV6, port: 8088 };

  test("by a hand-made EndpointSlice in another namespace shuts no pod, Service or node", async () => {
    const targets: Record<string, Destination> = {
      pod: stage.podAt("shop/web", 8080),
      cluster: stage.service("web.shop:80"),
      node: nodeWeb,
    };
    for (const [name, target] of Object.entries(targets)) {
      await stage.lab.apply([
        selectorless("rogue", `trap-${name}`),
        ...slices("rogue", `trap-${name}`, target),
        guard("rogue", `trap-${name}`, [denyAll]),
      ]);
    }
    for (const name of Object.keys(targets))
      await stage.until("shop/client", `trap-${name}.rogue:80`, shutBy);
    expect(await stage.dial("shop/client", "web.shop:80")).toMatchObject(untouched("shop/web"));
    expect(await stage.dial("rogue/client", stage.podAt("shop/web", 8080))).toMatchObject(
      untouched("shop/web"),
    );
    expect(await stage.dial("shop/client", nodeWeb)).toMatchObject(untouched("shop/node-web"));
  });

  test("that only a completed pod of that namespace had shuts nobody", async () => {
    const address = "10.244.77.7";
    const at = { IPv4: address, IPv6: "fd00:10:244::4d07" };
    const annotations = { "lab.podgate.dev/ip": address };
    const job = pod("rogue", "job", { annotations, labels: { app: "job" } });
    job.spec.restartPolicy = "Never";
    for (const container of job.spec.containers) container.command = ["true"];
    await stage.lab.apply([job]);
    await stage.lab.waitFor("the job to complete", () => phase("rogue", "job") === "Succeeded");
    await stage.lab.apply([
      pod("shop", "heir", { annotations, labels: { app: "heir" }, ports: [8080] }),
      selectorless("rogue", "trap-job"),
      ...slices("rogue", "trap-job", { ...at, port: 8080 }),
      guard("rogue", "trap-job", [denyAll]),
    ]);
    await stage.lab.settled();
    expect(stage.podAt("shop/heir", 8080)).toEqual({ ...at, port: 8080 });
    await stage.until("shop/client", "trap-job.rogue:80", shutBy);
    expect(await stage.dial("shop/client", stage.podAt("shop/heir", 8080))).toMatchObject(
      untouched("shop/heir"),
    );
  });

  test("by externalIPs shuts no ClusterIP, pod IP or node IP", async () => {
    const cluster = stage.service("web.shop:80");
    const own = stage.podAt("shop/web", 8080);
    const free = { IPv4: "203.0.113.66", IPv6: "2001:db8:e::66" };
    const addresses = [cluster, own, nodeWeb, free].flatMap(({ IPv4, IPv6 }) => [IPv4, IPv6]);
    const ports = [80, 8080, 8088].map((port) => ({ name: `p${port}`, port, targetPort: 1 }));
    await stage.lab.apply([
      selectorless("rogue", "greedy", { ports, externalIPs: addresses }),
      guard("rogue", "greedy", [denyAll]),
    ]);
    await stage.until("shop/client", "greedy.rogue:8088", shutBy);
    // What is nobody else's is the Service's to guard.
    expect(await stage.dial("shop/client", { ...free, port: 80 })).toMatchObject(shutBy);
    expect(await stage.dial("shop/client", "web.shop:80")).toMatchObject(untouched("shop/web"));
    expect(await stage.dial("shop/client", own)).toMatchObject(untouched("shop/web"));
    expect(await stage.dial("shop/client", nodeWeb)).toMatchObject(untouched("shop/node-web"));
  });

  const phase = (namespace: string, name: string) =>
    (stage.lab.api.store.find("pods", namespace, name)?.status as { phase?: string } | undefined)?.phase;
});

describe.skipIf(obstacle() !== undefined)("what keeps the cluster alive", () => {
  const API = "kubernetes.default:443";
  const DNS = "kube-dns.kube-system:53";
  const tenantGrant = (namespace: string) =>
    ({
      apiVersion: "gateway.networking.k8s.io/v1beta1",
      kind: "ReferenceGrant",
      metadata: { namespace, name: "careless" },
      spec: {
        from: [{ group: "ngrok.k8s.ngrok.com", kind: "CloudEndpoint", namespace: "rogue" }],
        to: [{ group: "", kind: "Service" }],
      },
    }) as KubeObject;
  const keepsAlive = {
    status: "False",
    reason: "RefNotPermitted",
    message: expect.stringContaining("alive"),
  };
  const apiServer = both({ saw: "default/api-server", line: undefined });

  beforeAll(async () => {
    // The API server as most clusters have it: a hostNetwork pod, and a slice that names the node.
    const dualStack = { ipFamilyPolicy: "RequireDualStack", ipFamilies: ["IPv4", "IPv6"] };
    await stage.lab.client.merge("/api/v1/namespaces/default/services/kubernetes", { spec: dualStack });
    await stage.lab.apply([
      pod("default", "api-server", { hostNetwork: true, ports: [6443] }),
      ...slices("default", "kubernetes", { IPv4: NODE_IPV4, IPv6: NODE_IPV6, port: 6443 }).map((slice) => ({
        ...slice,
        ports: [{ name: "https", protocol: "TCP", port: 6443 }],
      })),
      pod("kube-system", "kube-dns", { labels: { app: "kube-dns" }, ports: [53] }),
      service("kube-system", "kube-dns", { ports: [{ port: 53 }] }),
      service("kube-system", "dns-twin", { selector: { app: "kube-dns" }, ports: [{ port: 53 }] }),
    ]);
    await stage.lab.settled();
  });

  async function expectAlive(): Promise<void> {
    expect(await stage.dial("shop/client", API)).toMatchObject(apiServer);
    expect(await stage.dial("shop/client", { ...nodePort, port: 6443 })).toMatchObject(apiServer);
    expect(await stage.dial("shop/client", DNS)).toMatchObject(untouched("kube-system/kube-dns"));
    const pod = stage.podAt("kube-system/kube-dns", 53);
    expect(await stage.dial("shop/client", pod)).toMatchObject(untouched("kube-system/kube-dns"));
  }

  test("is not guarded by a tenant, not even with a ReferenceGrant", async () => {
    await stage.lab.apply([
      tenantGrant("default"),
      tenantGrant("kube-system"),
      cloudEndpoint("rogue/shut-api", "https://kubernetes.default", [denyAll]),
      cloudEndpoint("rogue/shut-dns", "tcp://kube-dns.kube-system:53", [denyAll]),
      cloudEndpoint("rogue/shut-twin", "tcp://dns-twin.kube-system:53", [denyAll]),
    ]);
    // The grant is heard: what does not keep the cluster alive is guarded, and its backends are left alone.
    const twin = denied({ reason: "rule", policy: { namespace: "rogue", name: "shut-twin" } });
    await stage.until("shop/client", "dns-twin.kube-system:53", both(twin));
    await Promise.all([
      stage.untilAccepted("CloudEndpoint", "rogue/shut-api", keepsAlive),
      stage.untilAccepted("CloudEndpoint", "rogue/shut-dns", keepsAlive),
    ]);
    await expectAlive();
  });

  test("is not shut by a claim about its addresses", async () => {
    const api = stage.service(API);
    await stage.lab.apply([
      selectorless("rogue", "trap-api", {
        type: "NodePort",
        ports: [{ port: 443, targetPort: 6443, nodePort: 30443 }],
        externalIPs: [api.IPv4, api.IPv6],
      }),
      ...slices("rogue", "trap-api", { IPv4: NODE_IPV4, IPv6: NODE_IPV6, port: 6443 }),
      guard("rogue", "trap-api", [denyAll]),
    ]);
    const trapped = denied({ reason: "rule", policy: { namespace: "rogue", name: "trap-api" } });
    await stage.until("shop/client", "trap-api.rogue:443", both(trapped));
    await expectAlive();
  });

  test("is guarded by name from kube-system, at every address", async () => {
    const rules = failClosed("shop", "https://kubernetes.default.internal");
    const endpoint = cloudEndpoint("kube-system/api-access", "https://kubernetes.default", rules);
    await stage.lab.apply([endpoint]);
    const policy = { namespace: "kube-system", name: "api-access" };
    await stage.until("rogue/client", API, both(denied({ reason: "rule", policy })));
    const direct = await stage.dial("rogue/client", { ...nodePort, port: 6443 });
    expect(direct).toMatchObject(both(denied({ reason: "rule", policy })));
    const welcome = { saw: "default/api-server", line: { verdict: "allow", policy } };
    expect(await stage.dial("shop/client", API)).toMatchObject(both(welcome));
    await stage.lab.delete(endpoint);
    await stage.until("rogue/client", API, apiServer);
  });
});
