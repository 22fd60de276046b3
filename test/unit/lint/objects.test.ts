import { describe, expect, it } from "vitest";
import { endpoint, lintText, M, manifest, rules, told } from "./rig.ts";

const closed = `${M}.error_code != "" => deny`;
const deny = "=> deny";
const service = (name: string, namespace = "payments") =>
  manifest("Service", { name, namespace }, { ports: [{ port: 80 }] });
const http = { on_http_request: [{ actions: [{ type: "deny" }] }] };

describe("an endpoint", () => {
  it("that is bound, terminates and names its namespace has nothing to be said of it", () => {
    expect(told(endpoint([closed, deny]))).toEqual([]);
  });

  it("with HTTP rules is an error where it guards, and nobody's business where it does not", () => {
    expect(told(endpoint([], { trafficPolicy: { inline: http } }))).toEqual([
      expect.stringMatching(/^error PODGATE_HTTP_RULES 8: "on_http_request"$/),
    ]);
    const open = { url: "https://shop.example.com", bindings: ["public"], trafficPolicy: { inline: http } };
    expect(told(endpoint([], open))).toEqual([]);
  });

  it("with a policy from several sources is an error at the policy", () => {
    const both = { trafficPolicy: { inline: {}, targetRef: { name: "p" } } };
    expect(told(endpoint([], both))).toEqual(["error PODGATE_OBJECT 8: trafficPolicy"]);
    expect(told(endpoint([deny], { trafficPolicyName: "p" }))).toEqual([
      "error PODGATE_OBJECT 8: trafficPolicy",
    ]);
  });

  it("whose annotation says something else than it can is an error at the annotation, and is told what to write", () => {
    const annotated = (value: string) =>
      endpoint(
        [closed, deny],
        {},
        { name: "a", namespace: "payments", annotations: { "podgate.dev/reauthorize": value } },
      );
    expect(told(annotated("connect-only"))).toEqual([]);
    const [found, ...others] = lintText(annotated("never"));
    expect(others).toEqual([]);
    expect(found).toMatchObject({ severity: "error", code: "PODGATE_OBJECT" });
    expect(found?.message).toBe(
      'metadata.annotations["podgate.dev/reauthorize"]: is "never": write connect-only or always',
    );
  });

  it("has a policy about pods that guards nothing, if it is not bound", () => {
    const unbound = { url: "https://shop.example.com", bindings: undefined };
    expect(told(endpoint([closed, deny], unbound))).toEqual([
      expect.stringMatching(/^warning PODGATE_NOT_BOUND /),
    ]);
  });

  it("may have its policy elsewhere, where that policy's faults are told once", () => {
    const shared = manifest(
      "NgrokTrafficPolicy",
      { name: "p", namespace: "payments" },
      {
        policy: { on_tcp_connect: [{ actions: [{ type: "refuse" }] }] },
      },
    );
    const users = ["a", "b"].map((name) =>
      endpoint([], { trafficPolicy: { targetRef: { name: "p" } } }, { name, namespace: "payments" }),
    );
    expect(told(shared + users.join(""))).toEqual(['error ERR_NGROK_2201 6: "type":"refuse"']);
  });

  it("with a shared policy that can fall through is told at its reference", () => {
    const shared = manifest(
      "NgrokTrafficPolicy",
      { name: "p", namespace: "payments" },
      {
        policy: { on_tcp_connect: [{ expressions: [`${M}.namespace != "a"`], actions: [{ type: "deny" }] }] },
      },
    );
    expect(told(shared + endpoint([], { trafficPolicy: { targetRef: { name: "p" } } }))).toEqual([
      'error ERR_NGROK_2235 14: "name":"p"',
    ]);
  });
});

describe("a Service of another namespace", () => {
  const grant = manifest(
    "ReferenceGrant",
    { name: "g", namespace: "payments" },
    {
      from: [{ group: "ngrok.k8s.ngrok.com", kind: "CloudEndpoint", namespace: "sandbox" }],
      to: [{ group: "", kind: "Service", name: "ledger" }],
    },
  );
  const from = (namespace: string) => endpoint([deny], {}, { namespace });

  it("may be guarded from a trusted namespace, or with a ReferenceGrant; else that is told at the url", () => {
    expect(told(from("sandbox"))).toEqual(['warning PODGATE_NOT_PERMITTED 6: url: "http://ledger.payments"']);
    expect(told(from("default"))).toEqual([]);
    expect(told(grant + from("sandbox"))).toEqual([]);
    expect(told(from("sandbox"), { trustedNamespaces: new Set(["sandbox"]) })).toEqual([]);
  });
});

describe("a name", () => {
  it("is looked up among the Services only where there are some", () => {
    expect(told(endpoint([closed, deny]))).toEqual([]);
    expect(told(service("ledger") + endpoint([closed, deny]))).toEqual([]);
    expect(told(service("ledgre") + endpoint([closed, deny]))).toEqual([
      'warning PODGATE_NO_SERVICE 12: url: "http://ledger.payments"',
    ]);
  });

  it("of a port that the Service does not have is told too", () => {
    expect(told(service("ledger") + endpoint([deny], { url: "tcp://ledger.payments:81" }))).toEqual([
      'warning PODGATE_NO_SERVICE 12: url: "tcp://ledger.payments:81"',
    ]);
  });

  it("in a forward may be an endpoint's, or a Service's", () => {
    const forward = (url: string) =>
      endpoint([], {
        url: "http://vault.payments",
        trafficPolicy: {
          inline: { on_tcp_connect: [{ actions: [{ type: "forward-internal", config: { url } }] }] },
        },
      });
    const door = endpoint(
      [deny],
      { url: "tcp://door.internal:80", bindings: ["internal"] },
      { name: "door", namespace: "payments" },
    );
    expect(told(service("vault") + forward("http://vault.payments.internal"))).toEqual([]);
    expect(told(service("vault") + door + forward("tcp://door.internal:80"))).toEqual([]);
    expect(told(service("vault") + forward("tcp://door.internal:80"))).toEqual([
      'warning PODGATE_NO_TARGET 14: "url":"tcp://door.internal:80"',
    ]);
  });
});

describe("a ConnectionPolicy", () => {
  const policy = (spec: object) =>
    manifest(
      "ConnectionPolicy",
      { namespace: "payments" },
      {
        targetRefs: [{ name: "ledger" }],
        trafficPolicy: { inline: { on_tcp_connect: [{ actions: [{ type: "deny" }] }] } },
        ...spec,
      },
    );

  it("that guards a Service of its namespace has nothing to be said of it", () => {
    expect(told(policy({}))).toEqual([]);
  });

  it("with fields that cannot be read is an error at each", () => {
    expect(told(policy({ mode: "audit", targetRefs: [] }))).toEqual([
      "error PODGATE_OBJECT 6: targetRefs",
      'error PODGATE_OBJECT 8: mode: "audit"',
    ]);
  });

  it("with a mode nobody knows is told the faults of its policy too", () => {
    const inline = { on_tcp_connect: [{ expressions: ["1 = 1"], actions: [{ type: "deny" }] }] };
    expect(told(policy({ mode: "Watch", trafficPolicy: { inline } }))).toEqual([
      "error ERR_NGROK_2200 7: =",
      'error PODGATE_OBJECT 8: mode: "Watch"',
    ]);
  });

  it("names a Service once, as a whole or by its ports, as its definition demands", () => {
    const targeting = (...refs: readonly object[]) =>
      told(policy({ targetRefs: refs.map((ref) => ({ name: "ledger", ...ref })) }));
    const twice = [expect.stringMatching(/^error PODGATE_OBJECT 6: targetRefs/)];
    expect(targeting({}, {})).toEqual(twice);
    expect(targeting({ sectionName: "db" }, {})).toEqual(twice);
    expect(targeting({ sectionName: "db" }, { sectionName: "db" })).toEqual(twice);
    expect(targeting({ sectionName: "db" }, { sectionName: "web" }, { name: "vault" })).toEqual([]);
  });

  it("names a Service that must be there", () => {
    expect(told(service("vault") + policy({}))).toEqual([
      expect.stringMatching(/^warning PODGATE_NO_SERVICE 12: "name"/),
    ]);
  });
});

describe("a slip of indentation", () => {
  const misplaced = (key: string) =>
    lintText(
      `apiVersion: ngrok.k8s.ngrok.com/v1alpha1\nkind: AgentEndpoint\nmetadata: {name: a, namespace: b}\nspec: {url: "http://c.b", upstream: {url: "http://c.b"}, bindings: [kubernetes]}\n${key}:\n  inline: {on_tcp_connect: [{actions: [{type: deny}]}]}\n`,
    ).map(({ code, message, position }) => [code, position.line, message]);

  it("that leaves the policy beside spec is an error: nobody would be refused", () => {
    expect(misplaced("trafficPolicy")).toEqual([
      [
        "PODGATE_UNKNOWN_FIELD",
        5,
        "`trafficPolicy` is outside spec, where nobody reads it: indent it to be in spec",
      ],
    ]);
  });

  it("or any other field there, too", () => {
    expect(misplaced("policy")).toEqual([
      ["PODGATE_UNKNOWN_FIELD", 5, "AgentEndpoint has no field `policy` beside spec: remove it"],
    ]);
    expect(misplaced("status")).toEqual([]);
  });
});

describe("a document", () => {
  it("that says nothing is an error where its file was named", () => {
    expect(told("replicas: 3\n")).toEqual(["error PODGATE_UNKNOWN_DOCUMENT 1: replicas"]);
  });

  it("found in a directory may be about anything, a template too, unless it is about connections", () => {
    const found = (text: string) => lintText(text, {}, false).map(({ code }) => code);
    expect(found("replicas: 3\n")).toEqual([]);
    expect(found("a: {{ b }}\n{{ end }}\n")).toEqual(["PODGATE_TEMPLATE"]);
    expect(found("a: [\n")).toEqual(["PODGATE_YAML_SYNTAX"]);
    expect(found(rules("1 => deny"))).toEqual(["ERR_NGROK_2200"]);
  });

  it("of another kind is passed over", () => {
    expect(told("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n")).toEqual([]);
  });

  it("of a policy with HTTP rules might be an endpoint's that does not guard", () => {
    expect(told("on_http_request:\n  - actions: [type: deny]\n")).toEqual([
      "warning PODGATE_HTTP_RULES 1: on_http_request",
    ]);
  });

  it("in a List is placed where it stands", () => {
    const item = JSON.stringify(
      JSON.parse(`{"kind":"CloudEndpoint","apiVersion":"ngrok.com/v1","metadata":{"name":"a"}}`),
    );
    expect(told(`kind: List\nitems:\n  - ${item}\n`)).toEqual([
      'error PODGATE_OBJECT 3: "apiVersion":"ngrok.com/v1"',
    ]);
  });

  it("that is bare has its findings beside those of objects, in the order of the file", () => {
    const text = `${rules("1 => deny")}${endpoint([deny], { url: "https://ledger.payments" })}`;
    expect(told(text).map((each) => each.split(" ").slice(0, 2).join(" "))).toEqual([
      "error ERR_NGROK_2200",
      "warning ERR_NGROK_18018",
    ]);
  });
});
