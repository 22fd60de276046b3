/** Why a name does not exist: a slip of the pen, one that is refused here, or one that never existed. */
import type { Environment, VariableGroup } from "./environment.ts";

/** More names than this nobody reads. */
const MANY = 12;

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
  const why = refusal(words, environment);
  if (why !== undefined) return why;
  // A word alone is mostly a text whose quotation marks were forgotten.
  const quoted = words.length === 1 ? `, or "${words[0]}" if it is a text` : "";
  return `there is no variable \`${words.join(".")}\`: use one of ${namesNear(words, environment).join(", ")}${quoted}`;
}

/** What there is instead: everything in the group that was meant, or, where that is much, the names directly in it. */
function namesNear(words: readonly string[], { variables }: Environment): readonly string[] {
  let group = variables;
  let path = "";
  for (const word of words) {
    const inner = Object.hasOwn(group, word) ? group[word] : undefined;
    if (inner === undefined || typeof inner === "string") break;
    group = inner;
    path = path === "" ? word : `${path}.${word}`;
  }
  const all = leaves(path, group);
  if (all.length <= MANY) return all;
  return Object.keys(group).map((word) => (path === "" ? word : `${path}.${word}`));
}

function leaves(path: string, group: VariableGroup): string[] {
  return Object.entries(group).flatMap(([word, type]) => {
    const full = path === "" ? word : `${path}.${word}`;
    return typeof type === "string" ? [full] : leaves(full, type);
  });
}
