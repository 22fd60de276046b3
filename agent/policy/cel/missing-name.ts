/** Why a name does not exist: a slip of the pen, a variable that is not built yet, or one of another phase. */
import { VARIABLES, type VariableGroup } from "../variables.ts";

const PER_CONNECTION = "only a connection knows it, and verdicts are made per pod";
const HTTP = "it belongs to HTTP requests, and on_tcp_connect runs before there is one";

/** By longest prefix. */
const NOT_AVAILABLE: ReadonlyMap<string, string> = new Map([
  ["conn.client_ip", PER_CONNECTION],
  ["conn.client_port", PER_CONNECTION],
  ["conn.server_ip", PER_CONNECTION],
  ["conn.server_port", PER_CONNECTION],
  ["conn.server_region", "connections inside a cluster have no region"],
  ["conn.ts", PER_CONNECTION],
  ["conn.tls", "TLS begins after on_tcp_connect"],
  ["conn.bytes_in", "no bytes have moved at on_tcp_connect"],
  ["conn.bytes_out", "no bytes have moved at on_tcp_connect"],
  ["conn.geo", "connections inside a cluster have no place on a map"],
  ["conn.k8s.pod.labels", "labels are not built yet"],
  ["conn.k8s.pod.metadata.labels", "labels are not built yet"],
  ["conn.k8s.pod.service_account", "service accounts are not built yet"],
  ["conn.k8s.node", "nodes are not built yet"],
  ["conn.k8s.namespace", "namespace labels are not built yet"],
  ["endpoint", "variables of the endpoint are not built yet"],
  ["time", "a verdict that depends on the time is not built yet"],
  ["rand", "a verdict that depends on chance is not built yet"],
  ["vars", "set-vars is not built yet"],
  ["actions", "results of actions are not built yet"],
  ["secrets", "secrets are not built yet"],
  ["req", HTTP],
  ["res", HTTP],
]);

const MEANT: ReadonlyMap<string, string> = new Map([
  ["conn.k8s.pod.name", "conn.k8s.pod.metadata.name"],
  ["conn.k8s.pod.namespace", "conn.k8s.pod.metadata.namespace"],
  ["conn.k8s.pod.annotations", "conn.k8s.pod.metadata.annotations"],
  ["conn.k8s.pod.error_code", "conn.k8s.pod.metadata.error_code"],
  ["conn.k8s.pod.error_message", "conn.k8s.pod.metadata.error_message"],
  ["conn.k8s.pod.uid", "conn.k8s.pod.id"],
  ["conn.k8s.pod.metadata.uid", "conn.k8s.pod.id"],
  ["conn.k8s.pod.metadata.id", "conn.k8s.pod.id"],
]);

/** Names the engine would accept, or ngrok documents, that are not part of the language here yet. */
const NOT_BUILT: ReadonlySet<string> = new Set(
  `base64 basic_auth bool bytes charAt cidr decodeBase64 distinct double duration dyn encodeBase64 flatten format getDate
  getDayOfMonth getDayOfWeek getDayOfYear getFullYear getHours getMilliseconds getMinutes getMonth getSeconds hash
  inCidrRange inCidrRanges indexOf int isPrivateIp join lastIndexOf lower lowerAscii quote replace reverse slice sort
  sortBy split string substring timestamp trim type uint upper upperAscii`.split(/\s+/),
);

/** `words` is the whole chain that was written, such as ["conn", "client_ip", "geo"]. */
export function missingVariable(words: readonly string[]): string {
  for (let length = words.length; length > 0; length--) {
    const name = words.slice(0, length).join(".");
    const meant = MEANT.get(name);
    if (meant !== undefined) return `there is no \`${name}\`: write ${meant}`;
    const why = NOT_AVAILABLE.get(name);
    if (why !== undefined)
      return `\`${name}\` is not available yet (${why}): remove it or use conn.k8s.pod.*`;
  }
  return `there is no variable \`${words.join(".")}\`: use one of ${leaves("", VARIABLES).join(", ")}`;
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
