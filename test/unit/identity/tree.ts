/** A tree of directories in memory, for what reads cgroup trees. */
import type { ReadDirectory } from "../../../agent/identity/cgroup-tree.ts";

/** Has the directories named and those above them. `denied` ones exist and cannot be read. */
export function treeOf(paths: readonly string[], denied: readonly string[] = []): ReadDirectory {
  const children = new Map<string, Set<string>>();
  for (const path of [...paths, ...denied]) {
    let parent = "";
    for (const name of path.split("/").slice(1)) {
      const own = children.get(parent) ?? new Set();
      children.set(parent, own.add(name));
      parent += `/${name}`;
    }
    if (!children.has(parent)) children.set(parent, new Set());
  }
  return (path) => {
    if (denied.includes(path)) return failure("EACCES", path);
    const names = children.get(path);
    return names === undefined ? failure("ENOENT", path) : [...names];
  };
}

function failure(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: scandir '${path}'`), { code });
}
