import { describe, expect, it } from "vitest";
import { lintText, M, rules, told } from "./rig.ts";

const closed = `${M}.error_code != "" => deny`;
const codes = (text: string) => lintText(text).map(({ code }) => code);

describe("a policy that fails open", () => {
  it("is found by asking it, wherever error_code stands", () => {
    expect(told(rules(`"" == ${M}.error_code && ${M}.namespace != "a" => deny`))).toEqual([
      `warning PODGATE_FAIL_OPEN 2: ${M}.error_code`,
    ]);
    expect(codes(rules(`${M}.error_code == "" ;; ${M}.namespace != "a" => deny`))).toEqual([
      "PODGATE_FAIL_OPEN",
    ]);
    expect(codes(rules(`${M}.error_code.size() == 0 && ${M}.name != "a" => deny`))).toEqual([
      "PODGATE_FAIL_OPEN",
    ]);
  });

  it("is none where a rule before it denies whoever has an error", () => {
    expect(codes(rules(closed, `${M}.error_code == "" && ${M}.namespace != "a" => deny`))).toEqual([]);
  });

  it("is none where only callers that cannot be found get in: no annotation makes a pod one of them", () => {
    const unfound = `${M}.error_code == "ERR_NGROK_28001" => forward-internal`;
    expect(codes(rules(unfound, `${M}.namespace != "a" => deny`))).toEqual([]);
  });
});

describe("a policy that hangs on time or chance", () => {
  it("is told the same every time", () => {
    const chance = `rand.double() < 0.5 && ${M}.namespace == "a" => deny`;
    const time = `timestamp(time.now).getHours() < 8 => deny`;
    for (let run = 0; run < 5; run++) expect(codes(rules(chance, time))).toEqual([]);
  });
});

describe("a caller that cannot be identified", () => {
  it("is not thought of where a deny names whom it denies", () => {
    expect(told(rules(`${M}.namespace == "sandbox" => deny`))).toEqual([
      'warning PODGATE_IDENTITY_UNHANDLED 2: "expressions"',
    ]);
  });

  it.each([
    ["is denied as not of the namespace", rules(`${M}.namespace != "a" => deny`)],
    ["is denied first", rules(closed, `${M}.namespace == "sandbox" => deny`)],
    ["gets in like everybody", rules("=> forward-internal")],
  ])("that %s is no finding", (_title, text) => {
    expect(codes(text)).toEqual([]);
  });
});

describe("an annotation that a pod may not have", () => {
  const key = `${M}.annotations["k8s.ngrok.com/tier"]`;
  const inTeam = `${M}.namespace != "team" => deny`;

  it.each([
    ["!=", `${key} != "gold" => deny`],
    ["==", `${key} == "gold" => forward-internal`],
    ["a method", `${key}.startsWith("gold") => deny`],
    ["a field", `${M}.annotations.tier == "gold" => deny`],
    ["a test of another", `"k8s.ngrok.com/other" in ${M}.annotations && ${key} == "gold" => deny`],
  ])("is missed in %s", (_title, line) => {
    expect(codes(rules(closed, inTeam, line))).toContain("PODGATE_MISSING_KEY");
  });

  it.each([
    ["in &&", `"k8s.ngrok.com/tier" in ${M}.annotations && ${key} != "gold" => deny`],
    ["in ||", `!("k8s.ngrok.com/tier" in ${M}.annotations) || ${key} != "gold" => deny`],
    ["by has()", `has(${key}) && ${key} != "gold" => deny`],
    ["in an expression beside it", `${key} == "gold" ;; "k8s.ngrok.com/tier" in ${M}.annotations => deny`],
  ])("is none where its presence is asked %s", (_title, line) => {
    expect(codes(rules(closed, inTeam, line))).toEqual([]);
  });

  it("is none where a rule before denies pods without it", () => {
    const without = `!("k8s.ngrok.com/tier" in ${M}.annotations) => deny`;
    expect(codes(rules(closed, inTeam, without, `${key} != "gold" => deny`))).toEqual([]);
  });

  it("is said once for each key, where it is read first", () => {
    const other = `${M}.annotations["k8s.ngrok.com/stage"]`;
    const text = rules(
      closed,
      inTeam,
      `${key} == "a" => deny`,
      `${key} == "b" => deny`,
      `${other} == "c" => deny`,
    );
    const found = lintText(text).map(({ code, path }) => `${code} ${path}`);
    expect(found).toEqual([
      "PODGATE_MISSING_KEY on_tcp_connect[2].expressions[0]",
      "PODGATE_MISSING_KEY on_tcp_connect[4].expressions[0]",
    ]);
  });

  it("may be missed by an action too, which is told at the action", () => {
    const metadata = { tier: `\${${key}}` };
    const log = (expressions: readonly string[]) =>
      `on_tcp_connect:\n  - ${JSON.stringify({ expressions, actions: [{ type: "log", config: { metadata } }] })}\n`;
    const own = `${M}.namespace == "team"`;
    expect(lintText(log([own])).map(({ code, path }) => `${code} ${path}`)).toEqual([
      "PODGATE_MISSING_KEY on_tcp_connect[0].actions[0]",
    ]);
    expect(codes(log([own, `"k8s.ngrok.com/tier" in ${M}.annotations`]))).toEqual([]);
  });

  it("is missed like a label is", () => {
    const label = 'conn.k8s.pod.labels["app"] != "web" => deny';
    expect(codes(rules(closed, inTeam, label))).toEqual(["PODGATE_MISSING_KEY"]);
    expect(codes(rules(closed, `"app" in conn.k8s.pod.labels => deny`))).toEqual(["PODGATE_SELF_ASSERTED"]);
    const ofNamespace = `!("team" in conn.k8s.namespace.labels) || conn.k8s.namespace.labels["team"] != "web" => deny`;
    expect(codes(rules(closed, ofNamespace))).toEqual([]);
  });

  it("alone is nothing to trust, unless the namespace is asked too", () => {
    const asked = `"k8s.ngrok.com/tier" in ${M}.annotations => forward-internal`;
    expect(told(rules(closed, asked, "=> deny"))).toEqual([
      'warning PODGATE_SELF_ASSERTED 3: \\"k8s.ngrok.com/tier\\"',
    ]);
    expect(codes(rules(closed, inTeam, asked, "=> deny"))).toEqual([]);
  });

  it("without the prefix is never seen", () => {
    const text = rules(closed, inTeam, `"team/tier" in ${M}.annotations => deny`);
    expect(told(text)).toEqual(['warning PODGATE_IMPOSSIBLE_VALUE 4: \\"team/tier\\"']);
  });
});

describe("a comparison that says nothing", () => {
  const namespaces = (text: string) =>
    `apiVersion: v1\nkind: Namespace\nmetadata: {name: payments}\n---\n${text}`;

  it.each([
    [`${M}.namespace != "Payments" => deny`, '\\"Payments\\"'],
    [`${M}.namespace in ["a", "b_c"] => deny`, '\\"b_c\\"'],
    [`${M}.name == "Worker" => deny`, '\\"Worker\\"'],
    [`${M}.error_code == "28001" => deny`, '\\"28001\\"'],
  ])("%s names what cannot be", (line, offending) => {
    const found = told(rules(closed, line)).filter((each) => each.includes("PODGATE_IMPOSSIBLE_VALUE"));
    expect(found).toEqual([`warning PODGATE_IMPOSSIBLE_VALUE 3: ${offending}`]);
  });

  it("names a namespace that is not among those of the files", () => {
    const text = rules(closed, `!(${M}.namespace in ["payments", "payment"]) => deny`);
    expect(told(namespaces(text))).toEqual(['warning PODGATE_UNKNOWN_NAMESPACE 7: \\"payment\\"']);
    expect(codes(text)).toEqual([]);
  });

  it("may name a namespace that every cluster has", () => {
    expect(codes(namespaces(rules(closed, `${M}.namespace != "kube-system" => deny`)))).toEqual([]);
  });

  it.each([
    `${M}.namespace != "a" || ${M}.namespace != "b" => deny`,
    `${M}.name == "x" || (${M}.namespace != "a" || "b" != ${M}.namespace) => deny`,
    `${M}.namespace == "a" && ${M}.namespace == "b" => forward-internal`,
    `${M}.namespace == "a" ;; ${M}.namespace == "b" => forward-internal`,
  ])("%s is the same for everybody", (line) => {
    expect(codes(rules(closed, line, "=> deny"))).toEqual(["PODGATE_CONSTANT"]);
  });

  it.each([
    `${M}.namespace != "a" && ${M}.namespace != "b" => deny`,
    `${M}.namespace == "a" || ${M}.namespace == "b" => forward-internal`,
    `${M}.namespace != "a" || ${M}.name != "b" => deny`,
    `${M}.namespace == "a" && ${M}.namespace == "a" => forward-internal`,
    `!(${M}.namespace == "a") && !(${M}.namespace == "b") => deny`,
  ])("%s is not", (line) => {
    expect(codes(rules(closed, line, "=> deny"))).toEqual([]);
  });
});

describe("a rule that never decides", () => {
  it("demands what an earlier one that ends the policy demands", () => {
    const text = rules(
      closed,
      `${M}.namespace != "a" => deny`,
      `${M}.namespace != "a" ;; ${M}.name != "b" => deny`,
    );
    expect(lintText(text).map(({ code, path }) => `${code} ${path}`)).toEqual([
      "PODGATE_SHADOWED_RULE on_tcp_connect[2]",
    ]);
  });

  it("is not one after a rule that goes on", () => {
    const log = { expressions: ["1 == 1"], actions: [{ type: "log", config: { metadata: {} } }] };
    const end = { expressions: ["1 == 1"], actions: [{ type: "deny" }] };
    expect(codes(JSON.stringify({ on_tcp_connect: [log, end] }))).toEqual([]);
    expect(codes(JSON.stringify({ on_tcp_connect: [end, log] }))).toEqual(["PODGATE_SHADOWED_RULE"]);
  });

  it("is not one that demands less", () => {
    const text = rules(
      closed,
      `${M}.namespace != "a" ;; ${M}.name != "b" => deny`,
      `${M}.namespace != "a" => deny`,
    );
    expect(codes(text)).toEqual([]);
  });
});

describe("an error inside an expression", () => {
  const wrong = `${M}.namespaces != "a"`;
  it.each([
    ["plain", `      - ${wrong}`],
    ["in single quotes", `      - '${wrong}'`],
    ["in double quotes", `      - "${wrong.replaceAll('"', '\\"')}"`],
    ["in a block", `      - >-\n        ${wrong}`],
  ])("%s is underlined exactly", (_title, item) => {
    const text = `on_tcp_connect:\n  - expressions:\n${item}\n    actions: [type: deny]\n`;
    const [diagnostic] = lintText(text);
    expect(diagnostic).toMatchObject({ code: "ERR_NGROK_2200", severity: "error" });
    expect(text.slice(diagnostic?.span.start, diagnostic?.span.end)).toBe(`${M}.namespaces`);
  });

  it("does not hide the others: all are said at once, in order", () => {
    const text = `on_tcp_connect:
  - expressions: [conn.nope == "", "1 +"]
    actions: [{type: deny, confg: {}}, {type: deny}]
  - {}
on_tcp_conect: []
`;
    expect(told(text)).toEqual([
      "error ERR_NGROK_2200 2: conn.nope",
      expect.stringMatching(/^error ERR_NGROK_2200 2: /),
      "error ERR_NGROK_2236 3: confg",
      "error ERR_NGROK_2207 3: type",
      "error ERR_NGROK_2206 4: {",
      "error ERR_NGROK_2236 5: on_tcp_conect",
    ]);
  });
});
