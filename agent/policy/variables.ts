/** The values of a policy's variables for one connection, and which of them are not known. */
import { type Connection, type EndpointFacts, type Known, UNKNOWN } from "../model/connection.ts";
import type { Identity, PodIdentity } from "../model/identity.ts";

/** Everything a policy is asked about. */
export interface Facts {
  readonly identity: Identity;
  readonly connection: Connection;
  readonly endpoint: EndpointFacts;
}

/** The name in `reads` of everything that chance decides. */
export const CHANCE = "rand";

/**
 * ngrok's text for ERR_NGROK_28001. A policy sees it whatever the cause, because one verdict serves all callers
 * that are unresolved; the cause is for the log (`Identity.message`).
 */
const UNRESOLVED_MESSAGE =
  "Failed to retrieve pod identity metadata: ensure pod has proper annotations and service account configuration";

/** What the policy reads of a caller that could not be found: nothing but the error. */
const NOBODY = {
  id: "",
  name: "",
  namespace: "",
  annotations: new Map<string, string>(),
  labels: new Map<string, string>(),
  serviceAccount: "",
  nodeName: "",
  namespaceLabels: new Map<string, string>(),
  addresses: [],
} as const;

/** Nothing in a cluster has a place on a map. */
const GEO = {
  city: "",
  country: "",
  country_code: "",
  latitude: "",
  longitude: "",
  radius: "",
  subdivision: "",
} as const;

type Probe = (facts: Facts) => unknown;

const pod = ({ identity }: Facts) => (identity.kind === "pod" ? identity.pod : NOBODY);

/** The variables that may be unknown, and where each comes from. All others always have a value. */
const PROBES: ReadonlyMap<string, Probe> = new Map<string, Probe>([
  ["conn.client_ip", ({ connection }) => connection.client.ip],
  ["conn.client_port", ({ connection }) => connection.client.port],
  ["conn.server_ip", ({ connection }) => connection.server.ip],
  ["conn.server_port", ({ connection }) => connection.server.port],
  ["conn.ts.start", ({ connection }) => connection.start],
  ["time.now", ({ connection }) => connection.now],
  // A verdict by chance is one connection's; made beforehand it would be every connection's.
  [CHANCE, ({ connection }) => connection.start],
  ["conn.k8s.pod.labels", (facts) => pod(facts).labels],
  ["conn.k8s.namespace.labels", (facts) => pod(facts).namespaceLabels],
]);

/** Those of `reads` that have no value for this connection. */
export function unknownOf(reads: ReadonlySet<string>, facts: Facts): ReadonlySet<string> {
  const unknown = new Set<string>();
  for (const name of reads) if (PROBES.get(name)?.(facts) === UNKNOWN) unknown.add(name);
  return unknown;
}

/** Every variable but `vars` and `actions`. What is unknown is left out: to read it is an error, never a value. */
export function variableValues(facts: Facts): Readonly<Record<string, unknown>> {
  const { connection, endpoint } = facts;
  const port = endpoint.port === 0 ? "" : `:${endpoint.port}`;
  return {
    conn: {
      client_ip: known(connection.client.ip),
      client_port: integer(connection.client.port),
      server_ip: known(connection.server.ip),
      server_port: integer(connection.server.port),
      server_region: "",
      ts: { start: connection.start === UNKNOWN ? undefined : new Date(connection.start) },
      geo: GEO,
      k8s: podValues(facts),
    },
    endpoint: { ...endpoint, addr: `${endpoint.host}${port}`, port: BigInt(endpoint.port) },
    time: { now: connection.now === UNKNOWN ? undefined : new Date(connection.now).toISOString() },
  };
}

function podValues(facts: Facts): Readonly<Record<string, unknown>> {
  const { identity } = facts;
  const {
    id,
    name,
    namespace,
    annotations,
    labels,
    serviceAccount,
    nodeName,
    namespaceLabels,
  }: Omit<PodIdentity, "errorCode" | "errorMessage"> = pod(facts);
  const [error_code, error_message] =
    identity.kind === "pod"
      ? [identity.pod.errorCode, identity.pod.errorMessage]
      : [identity.code, UNRESOLVED_MESSAGE];
  return {
    pod: {
      id,
      labels: known(labels),
      service_account: serviceAccount,
      metadata: { name, namespace, annotations, error_code, error_message },
    },
    node: { name: nodeName },
    namespace: { labels: known(namespaceLabels) },
  };
}

function known<T>(value: Known<T>): T | undefined {
  return value === UNKNOWN ? undefined : (value as T);
}

function integer(value: Known<number>): bigint | undefined {
  return value === UNKNOWN ? undefined : BigInt(value);
}
