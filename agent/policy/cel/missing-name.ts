/** Why a name does not exist: a slip of the pen, one that is refused here, or one that never existed. */
import type { Environment, VariableGroup } from "./environment.ts";

/** Names the engine would accept, or ngrok documents, that are not part of the language here yet. */
const NOT_BUILT: ReadonlySet<string> = new Set(
  `base64 basic_auth bool bytes charAt cidr decodeBase64 distinct double duration dyn encodeBase64 flatten format getDate
  getDayOfMonth getDayOfWeek getDayOfYear getFullYear getHours getMilliseconds getMinutes getMonth getSeconds hash
  inCidrRange inCidrRanges indexOf int isPrivateIp join lastIndexOf lower lowerAscii quote replace reverse slice sort
  sortBy split string substring timestamp trim type uint upper upperAscii`.split(/\s+/),
);

/** Why `words`, the whole chain that was written, is refused; undefined where the environment says nothing of it. */
export function refusal(words: readonly string[], environment: Environment): string | undefined {
  for (let length = words.length; length > 0; length--) {
    const name = words.slice(0, length).join(".");
    const meant = environment.meant.get(name);
    if (meant !== undefined) return `there is no \`${name}\`: write ${meant}`;
    const why = environment.refused.get(name);
    if (why !== undefined) return `\`${name}\` is not available (${why}): remove it or use conn.k8s.pod.*`;
  }
  return undefined;
}

export function missingVariable(words: readonly string[], environment: Environment): string {
  const known = leaves("", environment.variables).join(", ");
  return refusal(words, environment) ?? `there is no variable \`${words.join(".")}\`: use one of ${known}`;
}

export function missingFunction(name: string): string {
  const usable =
    "size, startsWith, endsWith, contains, matches, has, all, exists, exists_one, filter and map";
  if (NOT_BUILT.has(name)) return `\`${name}\` is not available yet: use ${usable}`;
  return `there is no function \`${name}\`: use ${usable}`;
}

function leaves(path: string, group: VariableGroup): string[] {
  return Object.entries(group).flatMap(([word, type]) => {
    const full = path === "" ? word : `${path}.${word}`;
    return typeof type === "string" ? [full] : leaves(full, type);
  });
}
