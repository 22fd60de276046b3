/** What a policy means when something is wrong or odd about it. Numbers are those of the threat table. */
import { rmSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { KubeObject, Pod } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { allowed, both, denied, unguarded } from "./support/attempt.ts";
import {
  cloudEndpoint,
  denyAll,
  denyUnresolved,
  denyWhere,
  failClosed,
  trafficPolicy,
} from "./support/endpoints.ts";
import { guard, namespaces, pod, type RuleWish, server } from "./support/objects.ts";
import { openStage, type Stage } from "./support/stage.ts";

const ENVIRONMENT = "k8s.ngrok.com/environment";
const annotations = "conn.k8s.pod.metadata.annotations";

let stage: Stage;

const guarded = (name: string, ...rules: readonly RuleWish[]) => [
  ...server("vault", name),
  guard("vault", name, rules),
];
const welcome = (name: string) => allowed(`vault/${name}`, { reason: "fell-through" });
const invalid = denied({ reason: "policy-invalid" });
const expressionError = (error: string) =>
  denied({ reason: "expression-error", error: expect.stringContaining(error) });

/** The endpoint of a Service of its own name; `policy` is its spec.trafficPolicy, or the rules in it. */
const endpoint = (name: string, policy: readonly RuleWish[] | object) =>
  cloudEndpoint(`vault/${name}`, `http://${name}.vault`, policy);

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  stage = await openStage("policies", [
    namespaces("vault", "payments", "sandbox"),
    [pod("payments", "client"), pod("sandbox", "client")],
    [pod("sandbox", "staging", { annotations: { [ENVIRONMENT]: "staging" } })],
    [pod("sandbox", "production", { annotations: { [ENVIRONMENT]: "production" } })],
    guarded("production", denyUnresolved, denyWhere(`${annotations}["${ENVIRONMENT}"] != "production"`)),
    guarded(
      "fallback",
      denyWhere(`"${ENVIRONMENT}" in ${annotations} && ${annotations}["${ENVIRONMENT}"] != "production"`),
    ),
    ...[
      "missing-ref",
      "missing-name",
      "no-rules",
      "no-phases",
      "no-policy",
      "every",
      "empty-list",
      "edited",
    ].map((name) => server("vault", name)),
  ]);
  await stage.startAgent();
});

afterAll(async () => {
  await stage?.close();
});

describe.skipIf(obstacle() !== undefined)("an annotation rule", () => {
  test("trust 13: the documented one denies a pod without the annotation, with the reason", async () => {
    const rule = { index: 1, expression: `${annotations}["${ENVIRONMENT}"] != "production"` };
    const without = await stage.dial("sandbox/client", "production.vault:80");
    expect(without).toMatchObject(both(expressionError(ENVIRONMENT)));
    expect(without).toMatchObject(both({ line: { rule, error_code: "" } }));
    expect(await stage.dial("sandbox/staging", "production.vault:80")).toMatchObject(
      both(denied({ reason: "rule", rule })),
    );
    expect(await stage.dial("sandbox/production", "production.vault:80")).toMatchObject(
      both(welcome("production")),
    );
  });

  test("trust 13: its author is warned, and not where the rule asks for the key first", async () => {
    const path = "spec.trafficPolicy.inline.on_tcp_connect[1].expressions[0]";
    await Promise.all([
      stage.untilAccepted("ConnectionPolicy", "vault/production", {
        status: "True",
        reason: "Accepted",
        message: expect.stringContaining(`${path}: PODGATE_MISSING_KEY: `),
      }),
      stage.untilAccepted("ConnectionPolicy", "vault/fallback", {
        status: "True",
        message: expect.not.stringContaining("PODGATE_MISSING_KEY"),
      }),
    ]);
    expect(await stage.dial("sandbox/client", "fallback.vault:80")).toMatchObject(both(welcome("fallback")));
    expect(await stage.dial("sandbox/staging", "fallback.vault:80")).toMatchObject(both(denied()));
  });
});

describe.skipIf(obstacle() !== undefined)("names that mean something to JavaScript", () => {
  const names = ["constructor", "toString", "k8s.ngrok.com/__proto__", "k8s.ngrok.com/constructor"];
  const polluted = Object.fromEntries(names.map((name) => [name, "polluted"]));

  beforeAll(async () => {
    const own = ["__proto__", "constructor", "hasOwnProperty"].map((key) => `"${key}" in ${annotations}`);
    const has = ["constructor", "toString", "valueOf"].map((key) => `has(${annotations}.${key})`);
    await stage.lab.apply([
      ...guarded("prototype", denyWhere([...own, ...has].join(" || "))),
      ...guarded("polluted", denyWhere(`${annotations}["k8s.ngrok.com/__proto__"] != "polluted"`)),
      ...guarded("inherited", denyWhere(`${annotations}["constructor"] == "polluted"`)),
      ...guarded("sent", denyWhere(`!("k8s.ngrok.com/sent" in ${annotations})`)),
      ...guarded("no-such-field", denyWhere("has(conn.k8s.pod.metadata.constructor)")),
      pod("sandbox", "polluter", { annotations: polluted }),
    ]);
    await stage.lab.settled();
    await stage.until("sandbox/polluter", "polluted.vault:80", both(welcome("polluted")));
  });

  test("trust 17: are no keys of annotations, unless with the prefix", async () => {
    // What no API server lets pass: the agent's watch says it all the same.
    const { metadata, ...rest } = stage.lab.api.store.get("pods", "sandbox", "polluter");
    const sent = { ...polluted, "k8s.ngrok.com/sent": "yes" };
    const object = { ...rest, metadata: { ...metadata, resourceVersion: "1", annotations: sent } };
    const text = JSON.stringify(object).replace('"constructor":', '"__proto__":"polluted","constructor":');
    const line = `{"type":"MODIFIED","object":${text}}`;
    expect(stage.lab.api.faults.sendLine(line, { resource: "pods" })).toBeGreaterThan(1);
    await stage.until("sandbox/polluter", "sent.vault:80", both(welcome("sent")));
    for (const from of ["sandbox/client", "sandbox/polluter"]) {
      await stage.until(from, "prototype.vault:80", both(welcome("prototype")));
      expect(await stage.dial(from, "inherited.vault:80")).toMatchObject(
        both(expressionError("constructor")),
      );
    }
    await stage.relistPods();
  });

  test("trust 17: leak from no pod to another", async () => {
    await stage.lab.apply([pod("sandbox", "later")]);
    await stage.lab.settled();
    for (const from of ["sandbox/client", "sandbox/later"]) {
      await stage.until(from, "polluted.vault:80", both(expressionError("k8s.ngrok.com/__proto__")));
      expect(await stage.dial(from, "prototype.vault:80")).toMatchObject(both(welcome("prototype")));
    }
  });

  test("trust 17: are no fields: the policy that asks for one is refused and denies", async () => {
    expect(await stage.dial("payments/client", "no-such-field.vault:80")).toMatchObject(both(invalid));
    const refused = { status: "False", reason: "Invalid", message: expect.stringContaining("constructor") };
    await stage.untilAccepted("ConnectionPolicy", "vault/no-such-field", refused);
  });
});

describe.skipIf(obstacle() !== undefined)("names that look alike", () => {
  const is = (name: string) => denyWhere(`!(${name})`);

  beforeAll(async () => {
    await stage.lab.apply([
      ...namespaces("a", "a-b"),
      ...[pod("a-b", "caller"), pod("a", "b-caller"), pod("sandbox", "a.b"), pod("sandbox", "axb")],
      ...guarded(
        "dashes",
        is('conn.k8s.pod.metadata.namespace == "a-b" && conn.k8s.pod.metadata.name == "caller"'),
      ),
      ...guarded("dots", is('conn.k8s.pod.metadata.name == "a.b"')),
      ...guarded("pattern", is('conn.k8s.pod.metadata.name.matches("^a[.]b$")')),
      ...[...server("a-b", "c"), guard("a-b", "c", [denyAll]), ...server("a", "b-c")],
    ]);
    await stage.lab.settled();
    await stage.until("sandbox/client", "c.a-b:80", both(denied()));
  });

  test.each([
    ["a-b/caller", "a/b-caller", "dashes"],
    ["sandbox/a.b", "sandbox/axb", "dots"],
    ["sandbox/a.b", "sandbox/axb", "pattern"],
  ])("trust 18: a rule for %s does not let %s in", async (named, other, name) => {
    await stage.until(named, `${name}.vault:80`, both(welcome(name)));
    expect(await stage.dial(other, `${name}.vault:80`)).toMatchObject(both(denied({ reason: "rule" })));
  });

  test("trust 18: a guard of a-b/c is none of a/b-c", async () => {
    expect(await stage.dial("sandbox/client", "b-c.a:80")).toMatchObject(both(unguarded("a/b-c")));
  });
});

describe.skipIf(obstacle() !== undefined)("a policy that is not there", () => {
  const nobody = async (name: string, expected: object) => {
    for (const from of ["payments/client", "sandbox/client"])
      await stage.until(from, `${name}.vault:80`, both(expected));
  };
  const own = "http://missing-ref.vault.internal";

  test("trust 22: a targetRef to a missing NgrokTrafficPolicy denies, until there is one", async () => {
    const byName = endpoint("missing-name", {}) as KubeObject & { spec: { url: string; bindings: string[] } };
    const { url, bindings } = byName.spec;
    await stage.lab.apply([
      endpoint("missing-ref", { targetRef: { name: "absent" } }),
      { ...byName, spec: { url, bindings, trafficPolicyName: "absent" } } as KubeObject,
    ]);
    const notFound = denied({ reason: "target-not-found", policy: { name: "missing-ref" } });
    await nobody("missing-ref", notFound);
    await nobody("missing-name", denied({ reason: "target-not-found", policy: { name: "missing-name" } }));
    const told = {
      status: "False",
      reason: "TargetNotFound",
      message: expect.stringContaining("vault/absent does not exist"),
    };
    await Promise.all([
      stage.untilAccepted("CloudEndpoint", "vault/missing-ref", told),
      stage.untilAccepted("CloudEndpoint", "vault/missing-name", told),
    ]);

    const referenced = trafficPolicy("vault/absent", failClosed("payments", own));
    await stage.lab.apply([referenced]);
    await stage.until("payments/client", "missing-ref.vault:80", both(allowed("vault/missing-ref")));
    await stage.until("sandbox/client", "missing-ref.vault:80", both(denied({ reason: "rule" })));
    // What was valid stays when the reference breaks again.
    await stage.lab.delete(referenced);
    await stage.lab.apply([endpoint("missing-ref", { targetRef: { name: "still-absent" } })]);
    const kept = { ...told, message: expect.stringContaining("the last valid policy stays enforced") };
    await stage.untilAccepted("CloudEndpoint", "vault/missing-ref", { ...kept, observedGeneration: 2 });
    expect(await stage.dial("payments/client", "missing-ref.vault:80")).toMatchObject(
      both(allowed("vault/missing-ref")),
    );
    expect(await stage.dial("sandbox/client", "missing-ref.vault:80")).toMatchObject(
      both(denied({ reason: "rule" })),
    );
  });

  test("trust 22: no rules, no phases and no policy are not `allow`", async () => {
    await stage.lab.apply([
      endpoint("no-rules", []),
      endpoint("no-phases", { inline: {} }),
      endpoint("no-policy", {}),
      guard("vault", "empty-list", []),
    ]);
    for (const name of ["no-rules", "no-phases", "no-policy", "empty-list"]) await nobody(name, invalid);
    await Promise.all([
      ...["no-rules", "no-phases", "no-policy"].map((name) =>
        stage.untilAccepted("CloudEndpoint", `vault/${name}`, { status: "False", reason: "Invalid" }),
      ),
      stage.untilAccepted("ConnectionPolicy", "vault/empty-list", { status: "False", reason: "Invalid" }),
    ]);
  });

  test("trust 22: a rule without expressions, or with an empty list of them, matches everybody", async () => {
    await stage.lab.apply([guard("vault", "every", [{ expressions: [], actions: [{ type: "deny" }] }])]);
    await nobody("every", denied({ reason: "rule", rule: { index: 0 } }));
  });

  test("trust 22: a Service that selects nobody is guarded where it is; an empty list of targets is refused", async () => {
    const empty = guard("vault", "nothing", [denyAll]) as KubeObject & { spec: { targetRefs: unknown[] } };
    await expect(
      stage.lab.apply([{ ...empty, spec: { ...empty.spec, targetRefs: [] } } as KubeObject]),
    ).rejects.toThrow(/targetRefs/);
    await stage.lab.apply([
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { namespace: "vault", name: "selects-nobody" },
        spec: { ipFamilyPolicy: "RequireDualStack", selector: {}, ports: [{ port: 80 }] },
      } as KubeObject,
      guard("vault", "selects-nobody", [denyAll]),
    ]);
    await stage.lab.settled();
    await nobody("selects-nobody", denied({ reason: "rule" }));
  });
});

describe.skipIf(obstacle() !== undefined)("an edit that breaks a policy", () => {
  const EDITED = "edited.vault:80";
  const edited = (namespace: string) =>
    endpoint("edited", failClosed(namespace, "http://edited.vault.internal"));
  const inside = both(allowed("vault/edited"));
  const outside = both(denied({ reason: "rule", rule: { index: 1 } }));
  const broken = endpoint("edited", [
    denyUnresolved,
    denyWhere("conn.k8s.pod.metadata.namespace != "),
    denyAll,
  ]);
  const told = {
    status: "False",
    reason: "Invalid",
    message: expect.stringMatching(
      /on_tcp_connect\[1\]\.expressions\[0\].*the last valid policy stays enforced/,
    ),
    observedGeneration: 2,
  };

  async function expectLastValid(): Promise<void> {
    expect(await stage.dial("payments/client", EDITED)).toMatchObject(inside);
    expect(await stage.dial("sandbox/client", EDITED)).toMatchObject(outside);
  }

  test("trust 23: leaves the last valid one enforced, and says so", async () => {
    await stage.lab.apply([edited("payments")]);
    await stage.until("payments/client", EDITED, inside);
    await expectLastValid();
    await stage.untilAccepted("CloudEndpoint", "vault/edited", { status: "True", observedGeneration: 1 });
    await stage.lab.apply([broken]);
    await stage.untilAccepted("CloudEndpoint", "vault/edited", told);
    expect(stage.generation("CloudEndpoint", "vault/edited")).toBe(2);
    await expectLastValid();
  });

  test("trust 23: leaves it enforced through a restart of the agent, by its state directory", async () => {
    await stage.stopAgent();
    await expectEnforcedWithoutAgent();
    await stage.startAgent();
    await expectLastValid();
    await stage.stopAgent();
    rmSync(stage.lab.names.stateDir, { recursive: true });
    await stage.startAgent();
    expect(await stage.dial("payments/client", EDITED)).toMatchObject(both(invalid));
    expect(await stage.dial("sandbox/client", EDITED)).toMatchObject(both(invalid));
  });

  test("trust 23: is over with the next valid one", async () => {
    await stage.lab.apply([edited("sandbox")]);
    await stage.until("sandbox/client", EDITED, inside);
    expect(await stage.dial("payments/client", EDITED)).toMatchObject(outside);
    await stage.untilAccepted("CloudEndpoint", "vault/edited", { status: "True", observedGeneration: 3 });
  });

  /** No agent, no log: only what callers see. */
  async function expectEnforcedWithoutAgent(): Promise<void> {
    const curl = (from: string) => stage.pod(from).exec(["curl", "-sS", "-m", "5", "http://edited.vault"]);
    expect((await curl("payments/client")).stdout).toMatch(/^vault\/edited /);
    expect((await curl("sandbox/client")).status).toBe(7);
  }
});

describe.skipIf(obstacle() !== undefined)("what a newer version might understand", () => {
  const rows: readonly (readonly [string, readonly unknown[] | object, string])[] = [
    ["an unknown action", [{ actions: [{ type: "teleport" }] }], "on_tcp_connect[0].actions[0].type"],
    [
      "an action of HTTP",
      [{ actions: [{ type: "rate-limit", config: {} }] }],
      "on_tcp_connect[0].actions[0].type",
    ],
    [
      "an unknown field of a rule",
      [{ when: "always", actions: [{ type: "deny" }] }],
      "on_tcp_connect[0].when",
    ],
    [
      "an unknown field of an action",
      [{ actions: [{ type: "deny", config: { softly: true } }] }],
      "config.softly",
    ],
    ["an unknown phase", { inline: { on_udp_packet: [], on_tcp_connect: [denyAll] } }, "on_udp_packet"],
    [
      "an unknown variable",
      [denyWhere('conn.k8s.pod.spec.image == ""'), denyAll],
      "on_tcp_connect[0].expressions[0]",
    ],
    ["rules that are no list", { inline: { on_tcp_connect: { actions: [] } } }, "on_tcp_connect"],
  ];
  const slug = (text: string) => text.replaceAll(/[^a-z]+/gi, "-").toLowerCase();

  beforeAll(async () => {
    const objects = rows.flatMap(([what, policy]) => [
      ...server("vault", slug(what)),
      endpoint(slug(what), policy),
    ]);
    await stage.lab.apply(objects);
    await stage.lab.settled();
  });

  test.each(rows)("trust 24: %s makes the policy invalid, and it denies", async (what, _, path) => {
    for (const from of ["payments/client", "sandbox/client"]) {
      await stage.until(from, `${slug(what)}.vault:80`, both(invalid));
    }
    const told = { status: "False", reason: "Invalid", message: expect.stringContaining(path) };
    await stage.untilAccepted("CloudEndpoint", `vault/${slug(what)}`, told);
  });

  test("trust 24: none of it ends the agent", () => {
    const { status } = stage.lab.api.store.get("pods", "podgate-system", stage.agent) as unknown as Pod;
    expect(status?.containerStatuses?.[0]).toMatchObject({ restartCount: 0, ready: true });
  });
});
