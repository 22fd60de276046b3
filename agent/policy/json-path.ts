/** JSON paths as messages show them: `spec.trafficPolicy.inline.on_tcp_connect[1].expressions[0]`. "" is the root. */

/** The path of a member of the object or list at `path`. */
export function childPath(path: string, key: string | number): string {
  if (typeof key === "number") return `${path}[${key}]`;
  if (!/^[A-Za-z_][\w-]*$/.test(key)) return `${path}[${JSON.stringify(key)}]`;
  return path === "" ? key : `${path}.${key}`;
}

/** Inverse of `childPath`: the keys from the root. */
export function pathKeys(path: string): (string | number)[] {
  const steps = path.matchAll(/\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]|([^.[\]]+)/g);
  return Array.from(steps, ([, index, quoted, word = ""]) => {
    if (index !== undefined) return Number(index);
    return quoted === undefined ? word : String(JSON.parse(quoted));
  });
}
