import { describe, expect, it } from "vitest";
import { M, nobody, oversized, pod, result } from "./builders.ts";

const labelled = pod({
  name: "worker-a",
  annotations: new Map([
    ["k8s.ngrok.com/environment", "production"],
    ["k8s.ngrok.com/team", "ledger"],
  ]),
});

describe("an expression", () => {
  it.each<[string, boolean | "error"]>([
    [`${M}.name.startsWith("worker-")`, true],
    [`${M}.name.endsWith("-b")`, false],
    [`${M}.name.contains("ork")`, true],
    [`size(${M}.name) == 8 && ${M}.annotations.size() == 2`, true],
    [`"k8s.ngrok.com/team" in ${M}.annotations`, true],
    [`${M}.annotations.team == "x"`, "error"],
    [`has(${M}.annotations.team)`, false],
    [`has(${M}.annotations) && has(conn.k8s.pod)`, true],
    [`["a", ${M}.name].exists(n, n == "worker-a")`, true],
    [`${M}.annotations.all(k, k.startsWith("k8s.ngrok.com/"))`, true],
    [`${M}.annotations.exists(k, ${M}.annotations[k] == "ledger")`, true],
    [`${M}.annotations.exists_one(k, k.endsWith("team"))`, true],
    [`${M}.annotations.filter(k, k.endsWith("team")) == ["k8s.ngrok.com/team"]`, true],
    [`${M}.annotations.map(k, k.endsWith("m"), ${M}.annotations[k]) == ["ledger"]`, true],
    [`["worker-a"].map(conn2, conn2 + "!") == ["worker-a!"]`, true],
    [`{"worker-a": "ok"}[${M}.name] == "ok"`, true],
    [`{"other": "ok"}[${M}.name] == "ok"`, "error"],
    [`[${M}.name, "b"][0] == "worker-a" && ["a"][1] == "b"`, "error"],
    [`${M}.namespace == "payments" ? ${M}.name == "worker-a" : false`, true],
    [`"\\u00e9\\x41\\101" == "éAA" && r"\\n" == "\\\\n" && '''a"b''' == "a\\"b"`, true],
    ["9223372036854775807 + 1 > 0", "error"],
    ["-9223372036854775808 < 0 && 0 - 1 < 0", true],
    ["1 / size([1].filter(x, x > 1)) == 1", "error"],
    ["false && 1 / 0 == 1", false],
    ["1 / 0 == 1 && false", false],
    ["1 / 0 == 1 || true", true],
    ["true // and a comment", true],
    [`${M}.name.matches("(?i)^WORKER-[a-z]$")`, true],
    [`${M}.name.matches("\\\\pL+-")`, true],
    [`${M}.name.matches("^orker")`, false],
    [`"a\\nb".matches("^b$")`, false],
    [`["worker-", "x"].exists(p, ${M}.name.startsWith(p) && ${M}.name.matches("-(a|b)$"))`, true],
  ])("%s is %s", (text, expected) => {
    expect(result(text, labelled)).toBe(expected);
  });

  it("never runs the engine's own JavaScript regular expressions", () => {
    // Backtracking engines need years for this one.
    expect(
      result(
        `${M}.annotations["a"].matches("^(a+)+$")`,
        pod({ annotations: new Map([["a", `${"a".repeat(900)}!`]]) }),
      ),
    ).toBe(false);
  });
});

describe("an expression is refused", () => {
  it.each<[string, string]>([
    [
      `has(${M}.nope)`,
      "there is no variable `conn.k8s.pod.metadata.nope`: use one of conn.k8s.pod.metadata.name, ",
    ],
    [`${M}.constructor == ""`, "there is no variable `conn.k8s.pod.metadata.constructor`"],
    ["conn.__proto__ == conn", "there is no variable `conn.__proto__`"],
    ["conn.toString() == ''", "there is no function `toString`"],
    ["conn.k8s.pod.id.length == 1", "`conn.k8s.pod.id` is a string: it has no fields"],
    ['conn["k8s"].pod.id == ""', "`conn` is a group of variables: name one of conn.client_ip, "],
    [`conn.k8s[${M}.name] == ""`, "`conn.k8s` is a group of variables"],
    ["conn == conn", "`conn` is a group of variables"],
    ['conn.k8s.pod.uid == ""', "there is no `conn.k8s.pod.uid`: write conn.k8s.pod.id"],
    ['conn.k8s.pod.namespace == ""', "write conn.k8s.pod.metadata.namespace"],
    ['conn.tls.sni == ""', "(TLS begins after on_tcp_connect)"],
    ["conn.bytes_in > 1", "(no bytes have moved at on_tcp_connect)"],
    ['req.method == "GET"', "(it belongs to HTTP requests, and on_tcp_connect runs before there is one)"],
    ['vars.x == ""', "(no set-vars action before it sets it)"],
    ["foo", 'there is no variable `foo`: use one of conn, endpoint, time, or "foo" if it is a text'],
    ["cel.bind(x, true, x)", "there is no variable `cel.bind`"],
    [`${M}.name.matchesRe2("a")`, "there is no function `matchesRe2`"],
    [`${M}.name.nosuch()`, "there is no function `nosuch`"],
    [`${M}.name`, "the expression is of type string: compare it with something"],
    ["1", "the expression is of type int: compare it with something"],
    ["[true][0] ? 1 : 2", "the expression is of type int"],
    [`${M}.name == 1`, "read as CEL: no such overload: string == int"],
    [`!${M}.name`, "read as CEL: no such overload: !string"],
    [`true && ${M}.name`, "read as CEL: logical operator requires bool operands"],
    ['true ? true : "x"', "read as CEL: ternary branches must have the same type"],
    ["has(conn)", "has() needs a field"],
    [`${M}.annotations[?"x"].orValue("") == ""`, "read as CEL: unexpected token: QUESTION"],
    [`${M}.annotations.all(k)`, "write all(x, ...)"],
    [
      `${M}.annotations.all("k", true)`,
      "read as CEL: all(var, predicate) invalid predicate iteration variable",
    ],
    ['["a"].exists(conn, conn == "a")', "`conn` is a variable already: use another name"],
    ["9223372036854775808 > 0", "9223372036854775808 is no 64-bit integer"],
    [`${M}.name.matches("[")`, "write the pattern in RE2 syntax"],
    [`${M}.name.matches("(a)\\\\1")`, "write the pattern in RE2 syntax"],
    [`${M}.name.matches("(?=w)")`, "write the pattern in RE2 syntax"],
    [`${M}.name.matches("(?<=w)o")`, "write the pattern in RE2 syntax"],
    [`${M}.name.matches("${"a".repeat(257)}")`, "the pattern is over 256 characters: shorten it"],
    ["true true", "read as CEL: unexpected character"],
    [`${M}.name = "a"`, "read as CEL: `=` is no operator: write =="],
    ["true & true", "read as CEL: `&` is no operator: write &&"],
    ["true | true", "read as CEL: `|` is no operator: write ||"],
    ["(1 == 1", "read as CEL: expected RPAREN"],
    ['"\\q" == "q"', "read as CEL: invalid escape sequence"],
    ['"\\uD83D" == "a"', "read as CEL: invalid Unicode surrogate"],
    ['"\ud83d" == "a"', "the expression is no Unicode text: write it again"],
  ])("%s", (text, why) => {
    expect(result(text)).toMatch(/^refused: /);
    expect(result(text)).toContain(why);
  });

  it("keeps its messages in one line, without the engine's drawing", () => {
    for (const text of ["true true", `${M}.name == 1`, "", "a\nb"]) expect(result(text)).not.toContain("\n");
  });
});

describe("values", () => {
  it("of a caller nobody found do not say why, so that one verdict serves all of them", () => {
    expect(result(`${M}.error_message.contains("network of its node")`, nobody)).toBe(false);
    expect(
      result(`${M}.error_message.startsWith("Failed to retrieve pod identity metadata: ")`, nobody),
    ).toBe(true);
    expect(result(`${M}.error_message != "" && ${M}.namespace == "payments"`, oversized)).toBe(true);
  });
});
