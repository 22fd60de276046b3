import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { endpoint, lintText, M, manifest, rules } from "./rig.ts";

const root = join(import.meta.dirname, "../../..");
const closed = `${M}.error_code != "" => deny`;
const deny = "=> deny";
const action = (each: object) => `on_tcp_connect:\n  - actions: [${JSON.stringify(each)}]\n`;
const service = manifest("Service", { namespace: "payments", name: "vault" }, { ports: [{ port: 80 }] });
const other = { namespace: "sandbox", name: "ledger" };

/** For every code a text that gives it. */
const examples: Readonly<Record<string, string>> = {
  PODGATE_YAML_SYNTAX: "a: [",
  PODGATE_YAML_TAG: `on_tcp_connect: [{expressions: [!(${M}.name == "a")], actions: [type: deny]}]`,
  PODGATE_UNKNOWN_DOCUMENT: "on_tcp_conect: []",
  PODGATE_OBJECT: endpoint([deny], { trafficPolicy: { inline: {}, targetRef: { name: "a" } } }),
  PODGATE_UNKNOWN_FIELD: endpoint([deny], { trafficPolciy: {} }),
  PODGATE_URL: endpoint([deny], { url: "http://ledger" }),
  PODGATE_UNFIT: manifest(
    "ConnectionPolicy",
    {},
    { targetRefs: [{ name: "a" }], trafficPolicy: { inline: {} } },
  ),
  PODGATE_HTTP_RULES: endpoint([], { trafficPolicy: { inline: { on_http_request: [{ actions: [] }] } } }),
  PODGATE_LEGACY: "inbound: []",
  PODGATE_UNSUPPORTED: action({ type: "restrict-ips", config: { ip_policies: ["ipp_1"] } }),
  PODGATE_OVER_LIMIT: rules(...Array.from({ length: 20 }, () => `"${"a".repeat(4_000)}" == "" => deny`)),
  ERR_NGROK_2200: rules("1 + => deny"),
  ERR_NGROK_2201: rules("=> refuse"),
  ERR_NGROK_2202: rules("=> add-headers"),
  ERR_NGROK_2203: action({ type: "forward-internal" }),
  ERR_NGROK_2204: action({ type: "forward-internal", config: { url: "htp://a.internal" } }),
  ERR_NGROK_2206: "on_tcp_connect: [{}]",
  ERR_NGROK_2207: rules(deny, deny),
  ERR_NGROK_2235: endpoint([closed]),
  ERR_NGROK_2236: "on_tcp_connect: [{action: []}]",
  ERR_NGROK_2264: rules(...Array.from({ length: 1_001 }, () => deny)),
  PODGATE_FAIL_OPEN: rules(`${M}.error_code == "" && ${M}.namespace != "a" => deny`),
  PODGATE_IDENTITY_UNHANDLED: rules(`${M}.name == "a" => deny`),
  PODGATE_MISSING_KEY: rules(`${M}.annotations["k8s.ngrok.com/a"] == "b" => deny`),
  PODGATE_SELF_ASSERTED: rules(`"k8s.ngrok.com/a" in ${M}.annotations => deny`),
  PODGATE_UNKNOWN_NAMESPACE: `${manifest("Namespace", {}, {})}---\n${rules(`${M}.namespace != "a" => deny`)}`,
  PODGATE_IMPOSSIBLE_VALUE: rules(`${M}.namespace != "A" => deny`),
  PODGATE_EMPTY_VARIABLE: rules('conn.geo.country_code != "US" => deny'),
  PODGATE_CONSTANT: rules(`${M}.name != "a" || ${M}.name != "b" => deny`),
  PODGATE_UNVERIFIED_CLIENT: `on_tcp_connect:
  - actions: [{type: terminate-tls, config: {mutual_tls_verification_strategy: request}}]
  - expressions: ['actions.ngrok.terminate_tls.client.subject.common_name != "a"']
    actions: [type: deny]
`,
  PODGATE_SHADOWED_RULE: rules(`${M}.name != "a" => deny`, `${M}.name != "a" => deny`),
  PODGATE_EMPTY_EXPRESSIONS: "on_tcp_connect: [{expressions: [], actions: [type: deny]}]",
  PODGATE_TEMPLATE: "a: {{ b }}\n{{ end }}\n",
  PODGATE_NO_NAMESPACE: endpoint([deny], {}, {}),
  PODGATE_NOT_BOUND: endpoint([closed, deny], { bindings: undefined }),
  PODGATE_NOT_PERMITTED: endpoint([deny], {}, other),
  PODGATE_NO_SERVICE: service + endpoint([deny]),
  PODGATE_NO_TARGET: service + endpoint(["=> forward-internal"], { url: "http://vault.payments" }),
  PODGATE_NO_POLICY:
    manifest("NgrokTrafficPolicy", {}, { policy: {} }) +
    endpoint([], { trafficPolicy: { targetRef: { name: "nope" } } }),
  PODGATE_DUPLICATE_OBJECT: endpoint([deny]) + endpoint([deny]),
  ERR_NGROK_393: action({ type: "restrict-ips", config: { deny: ["192.0.2.0/24"] } }),
  ERR_NGROK_2262: endpoint([deny], { url: "http://ledger.payments.internal", bindings: ["internal"] }),
  ERR_NGROK_18018: endpoint([deny], { url: "https://ledger.payments" }),
};

const documented = (() => {
  const [errors = "", warnings = ""] = readFileSync(join(root, "docs/lint.md"), "utf8").split("## Warnings");
  const codes = (text: string) =>
    [...text.matchAll(/^\| `((?:PODGATE|ERR_NGROK)_\w+)` \|/gm)].map(([, code]) => code ?? "");
  return { error: codes(errors), warning: codes(warnings) };
})();

/** Values of error_code, and of a failed forward's: what policies read, not what lint says. */
const atRunTime = new Set(["ERR_NGROK_28000", "ERR_NGROK_28001"]);

function findingsOf(code: string, text: string) {
  const over = code === "PODGATE_NO_NAMESPACE" ? { namespace: undefined } : {};
  return lintText(text, over, code !== "PODGATE_TEMPLATE");
}

/** The YAML parser's words. */
const othersWords = new Set(["PODGATE_YAML_SYNTAX"]);

describe("every code of lint", () => {
  it("has an example here, and every example is of a documented code", () => {
    expect([...documented.error, ...documented.warning].sort()).toEqual(Object.keys(examples).sort());
  });

  it("that the source can say is documented", () => {
    const files = globSync("agent/{policy,files,lint}/**/*.ts", { cwd: root });
    const said = files.flatMap(
      (file) => readFileSync(join(root, file), "utf8").match(/\b(PODGATE|ERR_NGROK)_[A-Z0-9_]+/g) ?? [],
    );
    const unknown = said.filter((code) => !Object.hasOwn(examples, code) && !atRunTime.has(code));
    expect([...new Set(unknown)]).toEqual([]);
  });

  it.each(Object.entries(examples))("%s is given where the documentation says", (code, text) => {
    const found = findingsOf(code, text);
    const severity = documented.error.includes(code) ? "error" : "warning";
    expect(found.filter((each) => each.code === code).map((each) => each.severity)).toContain(severity);
  });

  it("has a message that ends with what to do", () => {
    for (const [code, text] of Object.entries(examples)) {
      if (othersWords.has(code)) continue;
      const found = findingsOf(code, text).find((each) => each.code === code);
      expect(found?.message, code).toMatch(/[^ ]: [^:]/);
    }
  });
});
