import { describe, expect, it } from "vitest";
import { compileExpression } from "../../../../agent/policy/cel/compile.ts";
import { environment, result, values } from "./builders.ts";

describe("a text that ngrok gives fields", () => {
  it("is a text", () => {
    expect(result('conn.client_ip == "10.1.2.3"')).toBe("true");
    expect(result('conn.client_ip in ["10.1.2.3"] && conn.client_ip.startsWith("10.")')).toBe("true");
  });

  it.each([
    "conn.client_ip.categories",
    "has(conn.client_ip.categories)",
    '"vpn" in conn.client_ip.categories',
    "conn.client_ip.categories.exists(c, true)",
  ])("%s is refused with the reason", (text) => {
    expect(result(text)).toBe(
      "refused: `conn.client_ip.categories` is not available (nobody here knows more of an address): remove it or use conn.k8s.pod.*",
    );
  });
});

describe("a name is refused", () => {
  it.each<[string, string]>([
    ["conn.tls.sni", "`conn.tls` is not available (TLS begins later)"],
    ["conn.pod.namme", "there is no `conn.pod.namme`: write conn.pod.name"],
    [
      "conn.pod.nam",
      "there is no variable `conn.pod.nam`: use one of conn.pod.name, conn.pod.annotations, conn.pod.tags",
    ],
    ["conn.pod.name.first", "`conn.pod.name` is a string: it has no fields"],
    ["conn.pod", "`conn.pod` is a group of variables: name one of conn.pod.name, "],
    ["foo(1)", "there is no function `foo`"],
    ['"a".foo()', "there is no function `foo`"],
    ["rand.float()", "there is no function `rand.float`"],
    ['"a".inCidrRange("b")', "`inCidrRange` is called otherwise: write inCidrRange(...)"],
    ['startsWith("a", "b")', "`startsWith` is called otherwise: write x.startsWith(...)"],
    ['secrets.get("a", "b")', "`secrets.get` is not available (there is no vault"],
    ['getReqHeader("X")', "`getReqHeader` is not available (it reads HTTP requests or responses"],
    ['hasResCookie("x")', "it reads HTTP requests or responses"],
    ['hasQueryParam("x")', "it reads HTTP requests or responses"],
    [
      'url.parse("https://ngrok.com")',
      "`url.parse` is not available (what it gives is not documented well enough",
    ],
    ['"x".isURL()', "`isURL` is not available"],
    ["[1].sortBy(x, x)", "`sortBy` is not available (it is not built: use map() and sort())"],
    ["cel.bind(x, 1, x)", "there is no variable `cel.bind`"],
    ["optional.of(1)", "there is no variable `optional.of`"],
    ["[1].map(rand, 1)", "`rand` is a variable already: use another name"],
    ["[1].map(conn, 1)", "`conn` is a variable already: use another name"],
    ["[1].all(x)", "write all(x, ...) with a name"],
    ["has(1)", "has() needs a field or a key"],
    ["has(conn.pod.name, conn.pod.name)", "has() needs a field or a key"],
    ["_____", "there is no variable `_____`"],
  ])("%s", (text, why) => {
    expect(result(text)).toMatch(/^refused: /);
    expect(result(text)).toContain(why);
  });
});

describe("a type is refused", () => {
  it.each<[string, string]>([
    ["conn.client_port == conn.client_ip", "no such overload: int == string: make both sides one type"],
    ["conn.ts.start > 1", "no such overload"],
    ["conn.pod.annotations[1] == 1", "no such overload"],
    ['conn.pod.tags["a"] == ""', "list index must be int, got 'string'"],
    [
      "inCidrRange(conn.client_port, '10.0.0.0/8')",
      "found no matching overload for 'inCidrRange(int, string)'",
    ],
    ["inCidrRanges(conn.client_ip, '10.0.0.0/8')", "found no matching overload"],
    ["has(conn.pod.tags[conn.client_ip + 1])", "no such overload: string + int"],
    ['[].exists(x, x + 1 == "a")', "no such overload"],
    ["b'a' < 'a'", "no such overload: bytes < string"],
  ])("%s", (text, why) => {
    expect(result(text)).toMatch(/^refused: read as CEL: /);
    expect(result(text)).toContain(why);
  });
});

describe("a compiled expression", () => {
  const compiled = (text: string, want: "bool" | "any" = "any") => {
    const expression = compileExpression(text, environment, want);
    if (expression instanceof Error) throw expression;
    return expression;
  };

  it("names the variables it reads and the functions it calls", () => {
    const { reads, calls } = compiled(
      "has(conn.pod) && conn.pod.tags.exists(t, t.startsWith(vars.any.prefix)) || rand.int() == 1 && size([.5]) == 1",
    );
    expect([...reads].sort()).toEqual(["conn.pod", "conn.pod.tags", "vars.any"]);
    expect([...calls].sort()).toEqual(["exists", "has", "rand.int", "size", "startsWith"]);
  });

  it.each([
    ["conn.ts.start", "timestamp"],
    ['conn.ts.start - timestamp("2026-01-01T00:00:00Z")', "duration"],
    ['duration("1s") + conn.ts.start', "timestamp"],
    ["conn.pod.tags", "list<string>"],
    ["conn.pod.annotations", "map<string, string>"],
    ["conn.client_port", "int"],
    ["conn.client_port == 1", "bool"],
    ["vars.any", "dyn"],
    [".5", "double"],
    ["b'a'", "bytes"],
    ["1u", "uint"],
    ["int", "type"],
    ['conn.pod.name.split(",")', "list<string>"],
    ["json.decode(conn.pod.name)", "dyn"],
  ])("%s is of type %s", (text, type) => {
    expect(compiled(text).type).toBe(type);
  });

  it("that should be a question may turn out to be none only where nobody could know", () => {
    expect(compileExpression("conn.client_port", environment, "bool")).toMatchObject({
      message: "the expression is of type int: compare it with something",
    });
    const unknown = compiled("vars.any.list[1].deep", "bool");
    expect(unknown.evaluate(values)).toBe(true);
    expect(compiled("vars.any.text", "bool").evaluate(values)).toEqual(
      new Error("the result is string, not a boolean"),
    );
  });

  it("keeps what it computes to itself from one evaluation to the next", () => {
    const { evaluate } = compiled('conn.pod.tags.map(t, ["-", "+"].map(mark, mark + t)).flatten().join(",")');
    expect(evaluate(values)).toBe("-x,+x,-y,+y");
    expect(evaluate({ conn: { pod: { tags: [] } } })).toBe("");
    expect(evaluate(values)).toBe("-x,+x,-y,+y");
  });
});

describe("the place of a fault", () => {
  it.each([
    ["conn.pod.name == 1 && foo", "foo"],
    ['b"é" == b"a" && .5 > 0.0 && conn.nope == 1', "conn.nope"],
    ['{"a b": 1}.`a b` == foo', "foo"],
    [".conn.pod.name == foo.bar", "foo"],
    ["// über\nbr'\\' == b'' || nope()", "nope()"],
    ['conn.pod.name.matches("a") && conn.pod.name.matches("[")', '"["'],
    ["[1].map(x, x.foo())", "x.foo()"],
  ])("in %s is at %s", (text, at) => {
    const fault = compileExpression(text, environment, "any");
    if (!(fault instanceof Error)) throw new Error("it is refused by nobody");
    expect(text.slice(fault.range?.start, fault.range?.end)).toBe(at);
  });
});
