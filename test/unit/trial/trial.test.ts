import { describe, expect, test } from "vitest";
import { formatPlaced } from "../../../agent/policy/yaml.ts";
import { missed } from "../../../agent/trial/coverage.ts";
import { junit } from "../../../agent/trial/junit.ts";
import { reportJson, reportLines } from "../../../agent/trial/report.ts";
import { runTrial, type TrialResult } from "../../../agent/trial/trial.ts";

const POLICY = `
apiVersion: ngrok.k8s.ngrok.com/v1alpha1
kind: CloudEndpoint
metadata: {namespace: shop, name: front}
spec:
  url: http://front.shop
  bindings: [kubernetes]
  trafficPolicy:
    inline:
      on_tcp_connect:
        - name: no crawlers
          expressions: ['conn.k8s.pod.metadata.name == "crawler"']
          actions: [{type: deny}]
        - expressions: ['conn.k8s.pod.metadata.namespace == "orders"']
          actions: [{type: forward-internal, config: {url: "http://back.shop.internal:8080"}}]
        - actions: [{type: deny}]
`;
const CRAWLER = "{namespace: a, name: crawler}";

function trial(tests: string, files: Record<string, string> = { "policy.yaml": POLICY }): TrialResult {
  return runTrial({
    name: "dir",
    tests: { name: "dir/tests.yaml", text: tests, named: false },
    manifests: Object.entries(files).map(([name, text]) => ({ name: `dir/${name}`, text, named: false })),
  });
}

/** One test with these keys, and what its failures are. */
function failuresOf(keys: string, files?: Record<string, string>): readonly string[] {
  const { results, diagnostics } = trial(`tests:\n  - {name: it, ${keys}}\n`, files);
  expect(diagnostics.map(formatPlaced)).toEqual([]);
  return results[0]?.failures ?? [];
}

describe("an expectation that is met:", () => {
  test.each([
    `from: ${CRAWLER}, to: front.shop, expect: deny`,
    `from: ${CRAWLER}, to: "front.shop:80", expect: deny, reason: rule, rule: 0, policy: CloudEndpoint/shop/front`,
    `from: ${CRAWLER}, to: front.shop, expect: deny, rule: no crawlers, policy: shop/front`,
    "from: {namespace: orders}, to: front.shop, expect: forward, target: back.shop",
    'from: {namespace: orders}, to: front.shop, expect: forward, target: "back.shop.svc.cluster.local:8080"',
    "from: {namespace: orders}, to: front.shop, expect: forward, target: shop/back",
    "from: unresolved, to: front.shop, expect: deny, rule: 2, logs: []",
    "from: unresolved, to: back.shop, expect: not-guarded",
  ])("%s", (keys) => {
    expect(failuresOf(keys)).toEqual([]);
  });
});

describe("one that is not says what came instead, and why:", () => {
  test.each([
    [
      `from: ${CRAWLER}, to: front.shop, expect: allow`,
      /^expected allow, got deny: rule 0 of CloudEndpoint\/shop\/front decided \(.*name = "crawler"\)$/,
    ],
    [`from: ${CRAWLER}, to: front.shop, expect: deny, rule: 2`, /^expected rule 2 to decide, but rule 0 of /],
    [`from: unresolved, to: front.shop, expect: deny, rule: no crawlers`, /^expected rule "no crawlers"/],
    [
      `from: ${CRAWLER}, to: front.shop, expect: deny, reason: loop`,
      /^expected reason loop, got rule: rule 0/,
    ],
    [`from: ${CRAWLER}, to: front.shop, expect: deny, policy: shop/fron`, /^expected policy shop\/fron to/],
    [
      "from: {namespace: orders}, to: front.shop, expect: forward, target: bac.shop",
      /^expected a forward to bac\.shop, got shop\/back:8080$/,
    ],
    [
      'from: {namespace: orders}, to: front.shop, expect: forward, target: "back.shop:80"',
      /^expected a forward to back\.shop:80, got shop\/back:8080$/,
    ],
    [
      "from: unresolved, to: back.shop, expect: deny",
      /^expected deny, got not-guarded: no policy guards it$/,
    ],
    [
      `from: ${CRAWLER}, to: front.shop, expect: deny, logs: [{a: 1}]`,
      /^expected the logs \[\{"a":1\}\], got \[\]/,
    ],
    [`from: ${CRAWLER}, to: front.shop, expect: deny, audited: allow`, /^expected the audited policies/],
    [
      "from: a/nobody, to: front.shop, expect: deny",
      /there is no such pod: add the pod to cluster\.yaml, or /,
    ],
    ["from: unresolved, to: front.shop:90000, expect: deny", /has no TCP port 90000/],
  ])("%s", (keys, message) => {
    expect(failuresOf(keys)).toEqual([expect.stringMatching(message)]);
  });

  test("an object that may not guard is the reason why nothing does", () => {
    const foreign = POLICY.replace("namespace: shop", "namespace: elsewhere");
    expect(failuresOf("from: unresolved, to: front.shop, expect: deny", { "policy.yaml": foreign })).toEqual([
      expect.stringMatching(/got not-guarded: CloudEndpoint\/elsewhere\/front: .*ReferenceGrant/),
    ]);
  });
});

describe("a fault of tests.yaml has its line and column:", () => {
  test.each([
    ["", "dir/tests.yaml:1:1: PODGATE_TEST: the file is empty"],
    ["tests: []", "dir/tests.yaml:1:1: PODGATE_TEST: it is empty: write a test"],
    ["test: []", "dir/tests.yaml:1:1: PODGATE_TEST: unknown key `test`"],
    ["- a", "dir/tests.yaml:1:3: PODGATE_TEST: it is a list"],
    [
      "tests:\n  - {from: unresolved, to: a.b, expect: deny}",
      "dir/tests.yaml:2:6: PODGATE_TEST: it is missing",
    ],
    [
      "tests:\n  - name: it\n    from: unresolved\n    to: a.b\n    expect: denied",
      "dir/tests.yaml:5:5: PODGATE_TEST: it is `denied`: write one of allow, deny",
    ],
    [
      "tests:\n  - name: it\n    from: web\n    to: a.b\n    expect: deny",
      "dir/tests.yaml:3:5: PODGATE_TEST: it is no caller",
    ],
    [
      "tests:\n  - name: it\n    from: {namespace: a, annotations: {x: true}}\n    to: a.b\n    expect: deny",
      "dir/tests.yaml:3:40: PODGATE_TEST: it is a boolean, not text: quote it",
    ],
    [
      "tests:\n  - name: it\n    from: {namespace: a, ip: 300.1.1.1}\n    to: a.b\n    expect: deny",
      "dir/tests.yaml:3:26: PODGATE_TEST: `300.1.1.1` is no IP address",
    ],
    [
      "tests:\n  - name: it\n    from: unresolved\n    expect: deny",
      "dir/tests.yaml:2:5: PODGATE_TEST: it has no destination",
    ],
    [
      "to: a.b\ntests:\n  - {name: it, from: unresolved, expect: deny}\n  - {name: it, from: unresolved, expect: deny}",
      "dir/tests.yaml:4:6: PODGATE_TEST: the test of line 3 has this name too",
    ],
    [
      "tests:\n  - {name: it, from: unresolved, to: a.b, expect: deny, reasn: rule}",
      "dir/tests.yaml:2:57: PODGATE_TEST: unknown key `reasn`",
    ],
    [
      "tests:\n  - {name: it, from: unresolved, to: a.b, expect: deny, target: c.d}",
      "dir/tests.yaml:2:57: PODGATE_TEST: only a forward has a target",
    ],
    [
      "tests:\n  - {name: it, from: unresolved, to: a.b, expect: deny, rule: -1}",
      "dir/tests.yaml:2:57: PODGATE_TEST: it is no rule",
    ],
    [
      "tests:\n  - {name: it, from: unresolved, to: a.b, expect: deny, time: noon}",
      "dir/tests.yaml:2:57: PODGATE_TEST: it is no time",
    ],
    [
      "tests:\n  - {name: it, from: unresolved, to: a.b, expect: deny, clientPort: 0}",
      "dir/tests.yaml:2:57: PODGATE_TEST: it is no port",
    ],
    ["tests: [", "dir/tests.yaml:1:9: PODGATE_YAML_SYNTAX"],
  ])("%j", (text, expected) => {
    const { diagnostics, results } = trial(text);
    expect(results).toEqual([]);
    const found = diagnostics.map(formatPlaced);
    expect(
      found.filter((line) => line.startsWith(expected)),
      found.join("\n"),
    ).toHaveLength(1);
  });

  test("and all of them are said at once", () => {
    const { diagnostics } = trial("tests:\n  - {name: 1, from: 2, expect: 3, x: 4}");
    expect(diagnostics.length).toBeGreaterThanOrEqual(5);
  });

  test("a tag in a policy, which drops the meaning of an expression, is one too", () => {
    const unquoted = POLICY.replace(/\[('conn.*crawler"')\]/, '\n            - !(conn.x in ["y"])');
    const { diagnostics } = trial("tests:\n  - {name: it, from: unresolved, to: front.shop, expect: deny}", {
      "policy.yaml": unquoted,
    });
    expect(diagnostics.map(formatPlaced)).toEqual([
      expect.stringMatching(/^dir\/policy\.yaml:13:15: PODGATE_YAML_TAG/),
    ]);
  });
});

describe("the cluster", () => {
  const everybody = "{name: it, from: {namespace: orders}, to: front.shop, expect: forward}";

  test("is made up of what tests and objects name, where no Service is written", () => {
    expect(trial(`tests:\n  - ${everybody}`).results[0]?.failures).toEqual([]);
  });

  test("is what is written, where one is", () => {
    const service = `{apiVersion: v1, kind: Service, metadata: {namespace: shop, name: front}, spec: {ports: [{port: 80}]}}`;
    const { results } = trial(`tests:\n  - ${everybody}`, { "policy.yaml": POLICY, "cluster.yaml": service });
    expect(results[0]?.failures[0]).toMatch(/got deny: .*target-not-found/);
  });

  test("may hold the callers", () => {
    const caller = "{apiVersion: v1, kind: Pod, metadata: {namespace: a, name: crawler}}";
    const { results } = trial(
      "tests:\n  - {name: it, from: a/crawler, to: front.shop, expect: deny, rule: 0}",
      {
        "policy.yaml": POLICY,
        "cluster.yaml": caller,
      },
    );
    expect(results[0]?.failures).toEqual([]);
  });

  test("trusts the namespaces that the file names", () => {
    const foreign = { "policy.yaml": POLICY.replace("namespace: shop", "namespace: platform") };
    const tests = "tests:\n  - {name: it, from: unresolved, to: front.shop, expect: deny}";
    expect(trial(tests, foreign).results[0]?.failures).toHaveLength(1);
    expect(trial(`trustedNamespaces: [platform]\n${tests}`, foreign).results[0]?.failures).toEqual([]);
  });
});

const three = trial(`
to: front.shop
tests:
  - {name: a crawler is refused, from: ${CRAWLER}, expect: deny}
  - {name: 'it is <wrong> & "quoted"', from: ${CRAWLER}, expect: allow}
`);

test("coverage counts the rules that matched, and knows where the others are", () => {
  expect(three.coverage.rules.map(({ index, hits }) => [index, hits])).toEqual([
    [0, 2],
    [1, 0],
    [2, 0],
  ]);
  expect(
    missed(three.coverage).map(({ index, position }) => [index, position?.file, position?.line]),
  ).toEqual([
    [1, "dir/policy.yaml", 14],
    [2, "dir/policy.yaml", 16],
  ]);
});

test("a rule whose actions went on counts as met, and one of an endpoint that a forward reached too", () => {
  const chained = `${POLICY.replace("http://back.shop.internal:8080", "tcp://inner.internal:80")}---
apiVersion: ngrok.k8s.ngrok.com/v1alpha1
kind: AgentEndpoint
metadata: {namespace: shop, name: inner}
spec:
  url: tcp://inner.internal:80
  upstream: {url: "tcp://back.shop:80"}
  trafficPolicy:
    inline:
      on_tcp_connect:
        - actions: [{type: log, config: {metadata: {a: b}}}]
`;
  const { coverage } = trial(
    "tests:\n  - {name: it, from: {namespace: orders}, to: front.shop, expect: forward}",
    {
      "policy.yaml": chained,
    },
  );
  const hits = coverage.rules.map(({ object, index, hits: count }) => `${object}#${index} ${count}`);
  expect(hits).toEqual([
    "AgentEndpoint/shop/inner#0 1",
    "CloudEndpoint/shop/front#0 0",
    "CloudEndpoint/shop/front#1 1",
    "CloudEndpoint/shop/front#2 0",
  ]);
});

test("rules that nobody can meet, because their object guards nothing, are not asked for", () => {
  const foreign = { "policy.yaml": POLICY.replace("namespace: shop", "namespace: elsewhere") };
  const { coverage } = trial(
    "tests:\n  - {name: it, from: unresolved, to: front.shop, expect: not-guarded}",
    foreign,
  );
  expect(coverage.rules).toEqual([]);
});

test("the report leads to what failed and to what no test met", () => {
  expect(reportLines([three])).toEqual([
    "dir: 1 of 2 passed",
    '  FAIL it is <wrong> & "quoted"',
    expect.stringMatching(/^ {4}dir\/tests\.yaml:5:\d+: expected allow, got deny: rule 0 of /),
    "  dir/policy.yaml:14:11: no test hits rule 1 of CloudEndpoint shop/front",
    "  dir/policy.yaml:16:11: no test hits rule 2 of CloudEndpoint shop/front",
    "2 tests in 1 directory, 1 passed, 1 failed, 1 of 3 rules hit",
  ]);
});

test("as JSON it is the same in values", () => {
  const [value] = JSON.parse(reportJson([three]));
  expect(value).toMatchObject({
    name: "dir",
    faults: [],
    tests: [
      { name: "a crawler is refused", line: 4, passed: true, outcome: "deny", verdict: { rule: 0 } },
      { passed: false, failures: [expect.stringContaining("expected allow")] },
    ],
    rules: [
      { index: 0, name: "no crawlers", hits: 2, line: 11 },
      { index: 1, hits: 0 },
      { index: 2, hits: 0 },
    ],
  });
});

test("as JUnit it is XML that a reader of XML can read, whatever the names", () => {
  const xml = junit([three, trial("tests: [")]);
  expect(xml).toContain('<testsuite name="dir" tests="2" failures="1" errors="0">');
  expect(xml).toContain('name="a crawler is refused" file="dir/tests.yaml" line="4"/>');
  expect(xml).toContain('name="it is &lt;wrong&gt; &amp; &quot;quoted&quot;"');
  expect(xml).toMatch(
    /<failure message="expected allow, got deny: .*&quot;crawler&quot;\)">dir\/tests\.yaml:5:/,
  );
  expect(xml).toMatch(/<error message="the files have faults">dir\/tests\.yaml:1:9: PODGATE_YAML_SYNTAX/);
  const opened = [...xml.matchAll(/<(\w+)(?:\s[^<>]*[^/])?>/g)].map(([, tag]) => tag).sort();
  const closed = [...xml.matchAll(/<\/(\w+)>/g)].map(([, tag]) => tag).sort();
  expect(opened).toEqual(closed);
});

test("characters that XML cannot hold are replaced", () => {
  const nasty = trial(
    `tests:\n  - {name: "a\\u0007b\\u001bc", from: unresolved, to: front.shop, expect: deny}`,
  );
  const xml = junit([nasty]);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those that must not be there
  expect(xml).not.toMatch(/[\u0000-\u0008\u000b-\u001f]/);
  expect(xml).toContain('name="a\ufffdb\ufffdc"');
});
