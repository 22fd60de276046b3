import { describe, expect, test } from "vitest";
import type { Explanation } from "../../../agent/explain/explanation.ts";
import { makePair } from "../../e2e/support/certificates.ts";
import {
  agent,
  ask,
  cloud,
  denial,
  deny,
  forward,
  pod,
  policy,
  say,
  service,
  worldWith,
} from "./questions.ts";

const NAMESPACE = "conn.k8s.pod.metadata.namespace";
const STAGE = 'conn.k8s.pod.metadata.annotations["k8s.ngrok.com/stage"]';
const people = [pod("orders/web"), pod("sandbox/crawler")];
const ledger = [service("shop/ledger", [{ port: 80, targetPort: 8080 }]), pod("shop/ledger")];

const closed = worldWith(
  ...people,
  ...ledger,
  cloud(
    "shop/ledger",
    "http://ledger.shop",
    deny('conn.k8s.pod.metadata.error_code != ""'),
    { name: "only orders", ...deny(`${NAMESPACE} != "orders"`) },
    forward("http://ledger.shop.internal"),
  ),
);

test("a deny is told rule by rule, each expression with what it saw, and with the way out", () => {
  expect(say(closed, "sandbox/crawler", "ledger.shop:80")).toBe(
    `
sandbox/crawler -> ledger.shop:80: DENY (rule, rule 1 of CloudEndpoint shop/ledger)

from  pod sandbox/crawler
to    198.18.0.1:80, shop/ledger:80

CloudEndpoint shop/ledger: deny, rule
  applies because it guards Service shop/ledger:80
  decided in the kernel, per namespace: it reads conn.k8s.pod.metadata.error_code (rule 0), it reads conn.k8s.pod.metadata.namespace (rule 1)
    rule 0  does not match  deny
      false  conn.k8s.pod.metadata.error_code != ""
             conn.k8s.pod.metadata.error_code = ""
  > rule 1 "only orders"  decides  deny
      true   conn.k8s.pod.metadata.namespace != "orders"
             conn.k8s.pod.metadata.namespace = "sandbox"
    rule 2  not reached  forward-internal http://ledger.shop.internal

any one of these would let it in:
  run it in namespace orders
`.trim(),
  );
});

test("an allow names the rule that let it in, and where its forward leads", () => {
  const { outcome, verdict, steps, remedies } = ask(closed, "orders/web", "ledger.shop");
  expect(outcome).toBe("allow");
  expect(verdict).toEqual({
    action: "allow",
    reason: "rule",
    policy: "CloudEndpoint/shop/ledger",
    rule: 2,
  });
  expect(steps[0]?.policies[0]?.leadsTo?.target).toBe("the Service that was dialled");
  expect(remedies).toEqual([]);
});

describe("why a policy applies:", () => {
  const world = worldWith(
    ...people,
    pod("kube-system/agent", { spec: { hostNetwork: true } }),
    pod("shop/ledger", { ip: "192.0.2.9" }),
    service("shop/ledger", [{ port: 80, targetPort: 8080, nodePort: 30080 }], { type: "NodePort" }),
    service("shop/other-door", [{ port: 81, targetPort: 8080 }], { selector: { app: "ledger" } }),
    {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name: "n" },
      status: { addresses: [{ type: "InternalIP", address: "203.0.113.1" }] },
    },
    policy("shop/guard", "ledger", "Enforce", denial),
  );
  test.each([
    ["ledger.shop", "it guards Service shop/ledger:80"],
    ["shop/ledger:8080", "it guards Service shop/ledger:80, and this is a pod behind it"],
    ["192.0.2.9:8080", "it guards Service shop/ledger:80, and this is a pod behind it"],
    ["203.0.113.1:30080", "it guards Service shop/ledger:80, and this is its node port"],
    [
      "other-door.shop",
      "it guards Service shop/ledger:80, whose backend 192.0.2.9:8080 Service shop/other-door:81 leads to as well",
    ],
  ])("%s", (to, because) => {
    const { outcome, steps } = ask(world, "orders/web", to);
    expect(outcome).toBe("deny");
    expect(steps[0]?.policies.map((each) => each.because)).toEqual([because]);
  });

  test("another port of the pod is not guarded", () => {
    const { outcome, verdict, steps } = ask(world, "orders/web", "192.0.2.9:9090");
    expect([outcome, verdict, steps[0]?.policies]).toEqual(["not-guarded", undefined, []]);
    expect(steps[0]?.note).toBe("the address is guarded at port 8080 alone");
    expect(say(world, "orders/web", "shop/ledger:9090")).toMatch(
      /^nothing guards 192\.0\.2\.9 at port 9090: the address is guarded at port 8080 alone$/m,
    );
    expect(ask(world, "orders/web", "192.0.2.99:9090").steps[0]).not.toHaveProperty("note");
  });

  test("a pod may connect to itself, whatever the policies say", () => {
    const { outcome, steps } = ask(world, "shop/ledger", "192.0.2.9:8080");
    expect([outcome, steps[0]?.note]).toEqual(["allow", "a pod may always connect to itself"]);
  });

  test("link-local addresses of guarded pods' ports are refused", () => {
    const { outcome, verdict } = ask(world, "orders/web", "[fe80::7]:8080");
    expect([outcome, verdict?.reason]).toEqual(["deny", "target-not-routable"]);
    expect(ask(world, "orders/web", "[fe80::7]:8081").outcome).toBe("not-guarded");
  });

  test.each([
    ["orders/web", "[fe80::7]:30080", "deny"],
    ["kube-system/agent", "127.0.0.1:30080", "deny"],
    ["orders/web", "127.0.0.1:30080", "not-guarded"], // its own loopback
  ])("a node port is dialled by %s at %s: %s", (from, to, outcome) => {
    expect(ask(world, from, to).outcome).toBe(outcome);
  });
});

describe("the way of a forward", () => {
  const world = worldWith(
    ...people,
    service("shop/front", [{ port: 80 }], { selector: {} }),
    service("shop/back", [{ port: 8080 }]),
    pod("shop/back"),
    cloud("shop/front", "http://front.shop", forward("http://back.shop.internal")),
    policy("shop/back", "back", "Enforce", deny(`${NAMESPACE} == "sandbox"`)),
  );

  test("ends where the last guard lets it through, and is logged as the first guard's doing", () => {
    const { outcome, verdict, steps } = ask(world, "orders/web", "front.shop");
    expect([outcome, verdict?.policy, verdict?.forward]).toEqual([
      "forward",
      "CloudEndpoint/shop/front",
      "shop/back:8080",
    ]);
    expect(steps.map(({ services }) => services)).toEqual([["shop/front:80"], ["shop/back:8080"]]);
  });

  test("ends at the guard that refuses", () => {
    const { outcome, verdict } = ask(world, "sandbox/crawler", "front.shop");
    expect([outcome, verdict?.policy]).toEqual(["deny", "ConnectionPolicy/shop/back"]);
  });

  test("through an endpoint shows that endpoint's rules", () => {
    const chained = worldWith(
      ...people,
      service("shop/front", [{ port: 80 }], { selector: {} }),
      ...ledger,
      cloud("shop/front", "http://front.shop", forward("tcp://inner.internal:5432")),
      agent(
        "shop/inner",
        "tcp://inner.internal:5432",
        "tcp://ledger.shop:80",
        deny(`${NAMESPACE} == "sandbox"`),
      ),
    );
    const { outcome, verdict, steps } = ask(chained, "sandbox/crawler", "front.shop");
    expect([outcome, verdict?.policy, verdict?.rule]).toEqual(["deny", "AgentEndpoint/shop/inner", 0]);
    const [inner] = steps[0]?.policies[0]?.leadsTo?.endpoints ?? [];
    expect(inner?.rules[0]).toMatchObject({ state: "decides", expressions: [{ value: true }] });
    const passed = ask(chained, "orders/web", "front.shop");
    expect(passed.verdict?.forward).toBe("shop/ledger:80");
    expect(passed.steps[0]?.policies[0]?.leadsTo?.endpoints[0]?.leadsTo?.target).toBe(
      "Service shop/ledger:80",
    );
  });
});

describe("several policies", () => {
  const world = worldWith(
    ...people,
    ...ledger,
    policy("shop/holds", "ledger", "Enforce", deny(`${NAMESPACE} == "sandbox"`)),
    policy("shop/trial", "ledger", "Audit", denial),
  );

  test("on trial refuse nobody, and what they would have said is there", () => {
    const { outcome, verdict, steps } = ask(world, "orders/web", "ledger.shop");
    expect([outcome, verdict?.reason, steps[0]?.audited?.policy]).toEqual([
      "allow",
      "fell-through",
      "ConnectionPolicy/shop/trial",
    ]);
    expect(say(world, "orders/web", "ledger.shop")).toMatch(
      /shop\/trial \(audit: it never refuses\): deny, rule\n/,
    );
  });

  test("are shown each with its own word", () => {
    const { steps } = ask(world, "sandbox/crawler", "ledger.shop");
    expect(steps[0]?.policies.map(({ object, decision }) => [object, decision.action])).toEqual([
      ["ConnectionPolicy/shop/holds", "deny"],
      ["ConnectionPolicy/shop/trial", "deny"],
    ]);
  });
});

describe("the smallest change that lets a caller in:", () => {
  const shop = (rules: readonly object[], ...more: readonly object[]) =>
    worldWith(...people, ...ledger, policy("shop/guard", "ledger", "Enforce", ...rules), ...more);
  const changes = (explanation: Explanation) => explanation.remedies.map(({ change }) => change);

  test("an annotation, with the command that writes it", () => {
    const world = shop([deny(`${STAGE} != "production"`)]);
    expect(ask(world, "orders/web", "ledger.shop").remedies).toEqual([
      {
        change: 'annotate it k8s.ngrok.com/stage="production"',
        command: "kubectl annotate --overwrite pod web -n orders k8s.ngrok.com/stage=production",
      },
    ]);
  });

  test("an annotation less", () => {
    const metadata = { annotations: { "k8s.ngrok.com/blocked": "it's so" } };
    const world = shop([deny('"k8s.ngrok.com/blocked" in conn.k8s.pod.metadata.annotations')], {
      ...pod("a/b", { metadata }),
    });
    expect(changes(ask(world, "a/b", "ledger.shop"))).toEqual([
      "remove its annotation k8s.ngrok.com/blocked",
    ]);
  });

  test("a label that a variable asks for", () => {
    const world = shop([
      { actions: [{ type: "set-vars", config: { vars: [{ tier: "back end" }] } }] },
      deny('conn.k8s.pod.labels["tier"] != vars.tier'),
    ]);
    expect(ask(world, "orders/web", "ledger.shop").remedies).toEqual([
      {
        change: 'label it tier="back end"',
        command: "kubectl label --overwrite pod web -n orders 'tier=back end'",
      },
    ]);
  });

  test("a name, a namespace, a service account", () => {
    const world = shop([
      deny(
        `conn.k8s.pod.metadata.name != "nightly" && ${NAMESPACE} != "trusted" && conn.k8s.pod.service_account != "robot"`,
      ),
    ]);
    expect(changes(ask(world, "orders/web", "ledger.shop"))).toEqual([
      "run it with the service account robot",
      "run it under the name nightly",
      "run it in namespace trusted",
    ]);
  });

  test("a network of its own, for a pod that shares its node's", () => {
    const world = shop(
      [deny('conn.k8s.pod.metadata.error_code != ""')],
      pod("orders/tool", { spec: { hostNetwork: true } }),
    );
    expect(changes(ask(world, "orders/tool", "ledger.shop"))[0]).toMatch(/^run it on a network of its own/);
  });

  test("fewer annotations, where they are too many", () => {
    const metadata = { annotations: { "k8s.ngrok.com/a": "x".repeat(1100) } };
    const world = shop([deny('conn.k8s.pod.metadata.error_code != ""')], pod("a/b", { metadata }));
    expect(changes(ask(world, "a/b", "ledger.shop"))).toEqual([
      "make the annotations that policies may read smaller than 1024 bytes together",
    ]);
  });

  test("to be known at all", () => {
    const { remedies } = ask(closed, "unresolved", "ledger.shop");
    expect(remedies.map(({ change }) => change)).toEqual(["be an identified pod in namespace orders"]);
  });

  test("none: then the rule is named", () => {
    const { remedies, advice } = ask(shop([denial]), "orders/web", "ledger.shop");
    expect([remedies, advice]).toEqual([
      [],
      "no single change of the pod lets it in: change rule 0 of ConnectionPolicy shop/guard",
    ]);
  });

  test("none where the policy cannot be run: then what is wrong with it is said", () => {
    const { verdict, advice } = ask(shop([deny("conn.nonsense == 1")]), "orders/web", "ledger.shop");
    expect(verdict?.reason).toBe("policy-invalid");
    expect(advice).toMatch(/^mend ConnectionPolicy shop\/guard: .*ERR_NGROK_2200/);
  });
});

test("an object that may not guard the Service is named, with what would permit it", () => {
  const world = worldWith(...people, ...ledger, cloud("sandbox/mine", "http://ledger.shop", denial));
  const { outcome, problems } = ask(world, "orders/web", "ledger.shop");
  expect(outcome).toBe("not-guarded");
  expect(problems).toEqual([
    {
      object: "CloudEndpoint/sandbox/mine",
      reason: "RefNotPermitted",
      message: expect.stringContaining("permit it there by a ReferenceGrant"),
    },
  ]);
  expect(ask(world, "orders/web", "192.0.2.1:80").problems).toEqual([]);
});

test("what only a connection has is named, and asked about one connection there is an answer", () => {
  const world = worldWith(
    ...people,
    ...ledger,
    policy("shop/guard", "ledger", "Enforce", deny("conn.client_port < 1024")),
  );
  const { outcome, steps } = ask(world, "orders/web", "ledger.shop");
  expect(outcome).toBe("proxy");
  expect(steps[0]?.policies[0]?.placement).toEqual({
    where: "proxy",
    why: "it reads conn.client_port (rule 0)",
  });
  expect(steps[0]?.policies[0]?.rules[0]).toMatchObject({
    state: "undecided",
    expressions: [{ error: "it needs conn.client_port, which only a connection has" }],
  });
});

test("texts of other people do not break a line", () => {
  const metadata = { annotations: { "k8s.ngrok.com/stage": "a\nb\u2028c" } };
  const world = worldWith(
    pod("a/b", { metadata }),
    ...ledger,
    policy("shop/guard", "ledger", "Enforce", deny(`${STAGE} != "x"\n  && true`)),
  );
  const lines = say(world, "a/b", "ledger.shop").split("\n");
  expect(lines.find((line) => line.includes("&& true"))).toContain('!= "x" && true');
  expect(lines.filter((line) => /[\u2028\r]/.test(line))).toEqual([]);
  expect(lines.find((line) => line.includes('stage"] = '))).toContain("a\\nb");
});

test("terminate-tls is said to be the proxy's, and neither its key nor its certificate is shown", () => {
  const { key, certificate } = makePair({ subject: "/CN=relay" });
  const relay = [service("shop/relay", [{ port: 443, targetPort: 8443 }]), pod("shop/relay")];
  const endpoint = agent("shop/relay", "tls://relay.shop", "tcp://relay.shop:443", {
    actions: [
      {
        type: "terminate-tls",
        config: { min_version: "1.3", server_private_key: key, server_certificate: certificate },
      },
    ],
  });
  const bound = { ...endpoint, spec: { ...(endpoint as { spec: object }).spec, bindings: ["kubernetes"] } };
  const world = worldWith(...people, ...relay, bound);
  expect(ask(world, "orders/web", "relay.shop:443").outcome).toBe("proxy");
  const said = say(world, "orders/web", "relay.shop:443");
  expect(said).toContain("decided by the proxy: it terminates TLS (rule 0)");
  expect(said).toContain("it terminates TLS: the proxy decides");
  expect(said).toContain(
    'terminate-tls {"min_version":"1.3","server_private_key":"…","server_certificate":"…"}',
  );
  expect(JSON.stringify(ask(world, "orders/web", "relay.shop:443"))).not.toMatch(/-----BEGIN/);
});
