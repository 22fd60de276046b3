/** Every function an expression may call, by name, and the names that are refused with the reason. */
import { CHANCE } from "./chance.ts";
import { CONVERSIONS } from "./conversion.ts";
import { ENCODINGS } from "./encoding.ts";
import { FORMAT } from "./format.ts";
import { HASHES_OF_TEXT } from "./hash.ts";
import { LISTS } from "./list.ts";
import { NETWORK } from "./network.ts";
import type { Overload } from "./overload.ts";
import { STANDARD } from "./standard.ts";
import { TEXT } from "./text.ts";
import { TIMES } from "./time.ts";

export const OVERLOADS: readonly Overload[] = [
  ...STANDARD,
  ...CONVERSIONS,
  ...TIMES,
  ...TEXT,
  ...FORMAT,
  ...LISTS,
  ...NETWORK,
  ...ENCODINGS,
  ...HASHES_OF_TEXT,
  ...CHANCE,
];

const byName = Map.groupBy(OVERLOADS, (overload) => `${overload.isMethod ? "." : ""}${overload.name}`);

/** The words that stand before a function's name: `rand` in `rand.int()`. */
export const NAMESPACES: ReadonlySet<string> = new Set(
  OVERLOADS.filter(({ name }) => name.includes(".")).map(({ name }) => name.split(".", 1)[0] ?? ""),
);

/** All overloads of a function, with its namespace; empty where there is none. */
export function functionsNamed(name: string): readonly Overload[] {
  return byName.get(name) ?? [];
}

export function methodsNamed(name: string): readonly Overload[] {
  return byName.get(`.${name}`) ?? [];
}

const HTTP = "it reads HTTP requests or responses, and on_tcp_connect runs before there is one";
const UNCLEAR = "what it gives is not documented well enough to decide on it";
const REFUSED: ReadonlyMap<string, string> = new Map([
  ["secrets.get", "there is no vault: a policy never needs a secret to know a pod"],
  ["sortBy", "it is not built: use map() and sort()"],
  ["url.parse", UNCLEAR],
  ["parseUrl", UNCLEAR],
  ["isURL", UNCLEAR],
  ["isQueryString", UNCLEAR],
  ...["Header", "Cookie"].flatMap((what) =>
    ["getReq", "hasReq", "getRes", "hasRes"].map((verb) => [`${verb}${what}`, HTTP] as const),
  ),
  ["getQueryParam", HTTP],
  ["hasQueryParam", HTTP],
]);

/** Why there is no function or method `name`. */
export function missingFunction(name: string): string {
  const why = REFUSED.get(name);
  if (why !== undefined) return `\`${name}\` is not available (${why}): write it without`;
  const other = functionsNamed(name).length > 0 ? `write ${name}(...)` : `write x.${name}(...)`;
  if (functionsNamed(name).length + methodsNamed(name).length > 0)
    return `\`${name}\` is called otherwise: ${other}`;
  return `there is no function \`${name}\`: look for another, such as startsWith, contains, matches or inCidrRange`;
}
