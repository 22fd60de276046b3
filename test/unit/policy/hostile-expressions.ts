/** Expressions that a tenant might write to stop the agent, to confuse it or to be let in. */

const nested = (depth: number, inner: string) => {
  let text = inner;
  for (let level = 0; level < depth; level++) text = `[1, 2, 3, 4, 5, 6, 7, 8, 9].map(x${level}, ${text})`;
  return text;
};
const digits = "[0,1,2,3,4,5,6,7,8,9]";

/** `pod` is the variable that has the caller's name and annotations. The numbers are those of the trust tests. */
export function hostileExpressions(pod: string): [title: string, text: string][] {
  const matching = (pattern: string) => `${pod}.annotations["a"].matches(${JSON.stringify(pattern)})`;
  return [
    ["16: a megabyte of text", `"${"a".repeat(1_000_000)}" == ""`],
    ["16: a megabyte of terms", `true${" || true".repeat(131_072)}`],
    ["16: 10,000 parentheses", `${"(".repeat(10_000)}true${")".repeat(10_000)}`],
    ["2,000 parentheses", `${"(".repeat(2_000)}true${")".repeat(2_000)}`],
    ["4,000 exclamation marks", `${"!".repeat(4_000)}true`],
    ["1,000 exclamation marks", `${"!".repeat(1_000)}false`],
    ["4,000 minus signs", `${"-".repeat(4_000)}1 == 1`],
    ["a chain of ||", `true${"||true".repeat(680)}`],
    ["a chain of &&", `true${"&&true".repeat(680)}`],
    ["a chain of +", `1${"+1".repeat(2_000)} > 0`],
    ["a chain of ?:", `${"true?true:".repeat(400)}true`],
    ["a chain of fields", `conn${".a".repeat(2_000)}`],
    ["a chain of keys", `${pod}.annotations${".a".repeat(1_000)} == ""`],
    ["a chain of indexes", `[1]${"[0]".repeat(1_300)} == 1`],
    ["nested lists", `${"[".repeat(2_000)}${"]".repeat(2_000)} == []`],
    ["nested maps", `${'{"a":'.repeat(800)}1${"}".repeat(800)} == {}`],
    ["16: map over map, five deep", `${nested(5, "1")} != []`],
    ["10^8 rounds", `${digits}.all(a,${digits}.all(b,${digits}.all(c,${digits}.all(d,true))))`],
    ["a million rounds in two", `[${"1,".repeat(999)}1].all(a, [${"1,".repeat(999)}1].all(b, true))`],
    ["250,000 rounds in two", `[${"1,".repeat(499)}1].all(a, [${"1,".repeat(499)}1].all(b, true))`],
    [
      "annotations to the third",
      `${pod}.annotations.all(a, ${pod}.annotations.all(b, ${pod}.annotations.all(c, true)))`,
    ],
    ["a text doubled 25 times", `["a"]${".map(x, x + x)".repeat(25)}[0].contains("b")`],
    ["a list doubled 25 times", `[[1]]${".map(x, x + x)".repeat(25)}.size() > 0`],
    ["lists of lists of lists", `["a"]${".map(x, [x, x])".repeat(25)} == []`],
    ["a long needle in a long text", `${pod}.annotations["a"].contains("${"a".repeat(3_500)}b")`],
    ["2,000 list elements", `${pod}.name in [${'"",'.repeat(1_200)}""]`],
    ["40 arguments", `size(${"1,".repeat(40)}1) == 1`],
    ["15: a nested quantifier", matching("^(a+)+$")],
    ["overlapping quantifiers", matching("(x+x+)+y")],
    ["many stars", matching(`${".*".repeat(60)}b`)],
    ["500 optional letters", matching("(a?){500}a{500}")],
    ["repeated repetition", matching("((a{100}){100}){100}")],
    ["repetition beyond RE2's", matching("a{1001}")],
    ["a large class, repeated", matching("(\\pL{1000})".repeat(20))],
    ["many large classes", matching("[^\\pL\\pN\\pS]".repeat(19))],
    ["classes in a group, repeated", matching("([\\pL\\pN][\\pL\\pN][\\pL\\pN]){60}$")],
    [
      "15 patterns of large classes",
      Array.from({ length: 15 }, (_, i) => matching(`${"[^\\pL\\pN]".repeat(18)}${i}`))
        .join("||")
        .slice(0, 4_000),
    ],
    ["repetition inside repetition", `${pod}.name.matches("([ab]{0,30}a[ab]{0,30}){6}$")`],
    ["an exponential automaton", matching("[ab]*a[ab]{100}$")],
    ["a pattern of 4,000 letters", matching("a".repeat(3_900))],
    ["5,000 alternatives", matching("a|".repeat(1_900))],
    ["a lookahead", matching("(?=a)a")],
    ["a back reference", matching("(a)\\1")],
    [
      "matching in two loops",
      `${pod}.annotations.exists(a, ${pod}.annotations.exists(b, a.matches("(a|b){0,60}c")))`,
    ],
    ["__proto__", "conn.__proto__ == conn.__proto__"],
    ["a constructor's constructor", `conn.constructor.constructor("return true")()`],
    ["the constructor of a text", `${pod}.name.constructor == ""`],
    ["a map with __proto__", '{"__proto__": true}.__proto__'],
    ["a map with toString", '{"a": true}.toString'],
    ["a lone surrogate", `"\ud800" == "\udfff"`],
    ["a lone surrogate, escaped", '"\\ud800" == ""'],
    ["a code point out of range", '"\\U00110000" == ""'],
    ["a null character", `"\0" == "" || \0true`],
    ["an unterminated text", `"${"\\".repeat(4_000)}`],
    ["an unterminated triple quote", `"""${'"'.repeat(1)}`],
    ["a number of 4,000 digits", `${"9".repeat(4_000)} > 0`],
    ["an exponent beyond all numbers", "1e999999999 > 0.0"],
    ["every reserved word", "while(true) || function() || import"],
    ["an error thrown as a value", "[1].map(x, 1 / 0)[0] == 1"],
  ];
}
