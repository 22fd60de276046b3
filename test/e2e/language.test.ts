/** The whole policy language with real connects: what the unit tests say of verdicts holds in the kernel, and in the log. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { allowed, both, denied, forwarded } from "./support/attempt.ts";
import { agentEndpoint, denyWhere } from "./support/endpoints.ts";
import { guard, pod, type RuleWish, server } from "./support/objects.ts";
import { openStage, type Stage } from "./support/stage.ts";

const namespace = (name: string, labels: Record<string, string>) => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name, labels },
});
const rule = (...actions: RuleWish["actions"][number][]): RuleWish => ({ actions });
const logs = (metadata: Record<string, unknown>) => ({ type: "log", config: { metadata } });
const action = (type: string, config: Record<string, unknown>) => ({ type, config });
const deny = { type: "deny" };

let stage: Stage;

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  const names = ["log", "ranges", "port", "vars", "fall", "spare", "labels", "chain", "end", "place"];
  stage = await openStage("language", [
    [namespace("bank", { tier: "gold" }), namespace("shop", { tier: "lead" })] as KubeObject[],
    names.flatMap((name) => server("bank", name)),
    [
      pod("bank", "client", { labels: { app: "teller" }, annotations: { "ngrok.com/to": "spare" } }),
      pod("shop", "client", { labels: { app: "buyer" } }),
    ] as KubeObject[],
  ]);
  const fallBack = [
    rule(action("forward-internal", { url: "https://missing.internal", on_error: "continue" })),
    rule(
      logs({ error: "${actions.ngrok.forward_internal.error.code}" }),
      action("forward-internal", {
        url: "http://${conn.k8s.pod.metadata.annotations['ngrok.com/to']}.bank.internal",
      }),
    ),
  ];
  await stage.lab.apply([
    guard("bank", "log", [
      rule(
        logs({
          who: "${conn.k8s.pod.metadata.name}",
          ip: "${conn.client_ip}",
          at: "${conn.server_port}",
          n: 7,
        }),
      ),
      denyWhere('conn.k8s.pod.metadata.namespace != "bank"'),
    ]),
    guard("bank", "port", [
      denyWhere('conn.k8s.pod.metadata.namespace != "bank"'),
      denyWhere("conn.client_port == 1"),
    ]),
    guard("bank", "vars", [
      rule(
        action("set-vars", {
          vars: [{ allowed: ["bank"] }, { caller: "${conn.k8s.pod.metadata.namespace}" }],
        }),
      ),
      denyWhere("!(vars.caller in vars.allowed)"),
    ]),
    guard("bank", "fall", fallBack),
    guard("bank", "labels", [
      denyWhere('conn.k8s.namespace.labels["tier"] != "gold" || conn.k8s.pod.labels["app"] != "teller"'),
    ]),
    agentEndpoint("bank/first", "https://first.internal", "http://end.bank", [
      rule(logs({ hop: "first" })),
      rule(action("forward-internal", { url: "https://second.internal" })),
    ]),
    agentEndpoint("bank/second", "https://second.internal", "http://end.bank", [
      denyWhere('conn.k8s.pod.metadata.namespace != "bank"'),
      rule(logs({ hop: "second" })),
    ]),
    guard("bank", "chain", [rule(action("forward-internal", { url: "https://first.internal" }))]),
    guard("bank", "place", [
      rule(logs({ server: "${conn.server_ip}" })),
      denyWhere(`conn.server_ip.contains(":")`),
    ]),
  ] as KubeObject[]);
  const { ipv4 } = stage.pod("bank/client");
  await stage.lab.apply([
    guard("bank", "ranges", [
      rule(action("restrict-ips", { allow: [`${ipv4}/32`, "::/0"], deny: ["${conn.client_ip}/128"] })),
    ]),
  ] as KubeObject[]);
  await stage.lab.settled();
  await stage.startAgent();
});

afterAll(async () => {
  await stage?.close();
});

describe.skipIf(obstacle() !== undefined)("in the kernel", () => {
  test("log writes into the verdict's line what the pod and the connection were", async () => {
    const entry = (family: "ipv4" | "ipv6", who: string) => ({
      log: [{ who: "client", ip: stage.pod(who)[family], at: 80, n: 7 }],
    });
    const dialled = await stage.dial("bank/client", "log.bank:80");
    expect(dialled.IPv4).toMatchObject(
      allowed("bank/log", { reason: "fell-through", ...entry("ipv4", "bank/client") }),
    );
    expect(dialled.IPv6).toMatchObject(
      allowed("bank/log", { reason: "fell-through", ...entry("ipv6", "bank/client") }),
    );
    const refused = await stage.dial("shop/client", "log.bank:80");
    expect(refused.IPv4).toMatchObject(denied({ reason: "rule", ...entry("ipv4", "shop/client") }));
  });

  test("restrict-ips goes by the caller's address in the family it dials", async () => {
    // Over IPv4 `<address>/128` is no range, which denies; over IPv6 it is the caller's own, which is denied.
    expect(await stage.dial("bank/client", "ranges.bank:80")).toMatchObject({
      IPv4: denied({ reason: "expression-error", error: expect.stringMatching(/is no address range/) }),
      IPv6: denied({ reason: "rule" }),
    });
    const { ipv4, ipv6 } = stage.pod("bank/client");
    const allow = (...ranges: string[]) =>
      guard("bank", "ranges", [rule(action("restrict-ips", { allow: ranges }))]);
    await stage.lab.apply([allow(`${ipv4}/32`)]);
    await stage.until("bank/client", "ranges.bank:80", {
      IPv4: allowed("bank/ranges", { reason: "fell-through" }),
      IPv6: denied({ reason: "rule" }),
    });
    expect(await stage.dial("shop/client", "ranges.bank:80")).toMatchObject(both(denied({ reason: "rule" })));
    await stage.lab.apply([allow(`${ipv6}/128`)]);
    await stage.until("bank/client", "ranges.bank:80", {
      IPv4: denied({ reason: "rule" }),
      IPv6: allowed("bank/ranges", { reason: "fell-through" }),
    });
  });

  test("what only a connection knows the proxy decides, after the rules that can be decided before", async () => {
    expect(await stage.dial("shop/client", "port.bank:80")).toMatchObject(
      both(denied({ reason: "rule", layer: expect.stringMatching(/^connect/) })),
    );
    await stage.until(
      "bank/client",
      "port.bank:80",
      both(allowed("bank/port", { reason: "fell-through", layer: "proxy" })),
    );
    await stage.untilAccepted("ConnectionPolicy", "bank/port", {
      status: "True",
      message: expect.stringMatching(/decided in the proxy: it reads conn\.client_port \(rule 1\)$/),
    });
  });

  test("set-vars carries values from rule to rule", async () => {
    expect(await stage.dial("bank/client", "vars.bank:80")).toMatchObject(
      both(allowed("bank/vars", { reason: "fell-through" })),
    );
    expect(await stage.dial("shop/client", "vars.bank:80")).toMatchObject(
      both(denied({ rule: { index: 1 } })),
    );
  });

  test("a forward falls back, to where the caller's annotation says", async () => {
    expect(await stage.dial("bank/client", "fall.bank:80")).toMatchObject(
      both(forwarded("bank/spare", "bank/spare", { log: [{ error: "ERR_NGROK_3200" }] })),
    );
    const missing = denied({
      reason: "expression-error",
      error: expect.stringMatching(/^action 1: no such key/),
    });
    expect(await stage.dial("shop/client", "fall.bank:80")).toMatchObject(both(missing));
  });

  test("labels of pod and namespace are what they are now", async () => {
    expect(await stage.dial("bank/client", "labels.bank:80")).toMatchObject(
      both(allowed("bank/labels", { reason: "fell-through" })),
    );
    expect(await stage.dial("shop/client", "labels.bank:80")).toMatchObject(both(denied({ reason: "rule" })));
    await stage.lab.apply([namespace("bank", { tier: "lead" })] as KubeObject[]);
    await stage.until("bank/client", "labels.bank:80", both(denied({ reason: "rule" })));
    await stage.lab.apply([namespace("bank", { tier: "gold" })] as KubeObject[]);
    await stage.until(
      "bank/client",
      "labels.bank:80",
      both(allowed("bank/labels", { reason: "fell-through" })),
    );
  });

  test("a chain of internal endpoints asks each one's policy and records what each logs", async () => {
    // The second is about pods, so it also guards where it leads, and is asked there again.
    const log = [{ hop: "first" }, { hop: "second" }, { hop: "second" }];
    expect(await stage.dial("bank/client", "chain.bank:80")).toMatchObject(
      both(forwarded("bank/end", "bank/end", { log })),
    );
    expect(await stage.dial("shop/client", "chain.bank:80")).toMatchObject(
      both(denied({ policy: { kind: "AgentEndpoint", name: "second" }, log: [{ hop: "first" }] })),
    );
  });

  test("addresses that a policy tells apart have verdicts of their own, also after a restart and after it no longer does", async () => {
    const { IPv4, IPv6 } = stage.service("place.bank:80");
    const apart = {
      IPv4: allowed("bank/place", { reason: "fell-through", log: [{ server: IPv4 }] }),
      IPv6: denied({ reason: "rule", log: [{ server: IPv6 }] }),
    };
    expect(await stage.dial("bank/client", "place.bank:80")).toMatchObject(apart);
    expect(await stage.dial("bank/client", stage.podAt("bank/place", 8080))).toMatchObject({
      IPv4: allowed("bank/place", {
        reason: "fell-through",
        log: [{ server: stage.pod("bank/place").ipv4 }],
      }),
      IPv6: denied({ reason: "rule" }),
    });
    await stage.restartAgent();
    expect(await stage.dial("bank/client", "place.bank:80")).toMatchObject(apart);
    await stage.lab.apply([guard("bank", "place", [rule(deny)])]);
    await stage.until("bank/client", "place.bank:80", both(denied({ reason: "rule" })));
  });
});
