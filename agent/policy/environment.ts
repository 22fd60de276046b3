/** Which variables a policy may read at on_tcp_connect, of which types, and why others not. */
import type { Bound, Environment, VariableGroup, VariableType } from "./cel/environment.ts";

const VARIABLES = {
  conn: {
    client_ip: "string",
    client_port: "int",
    server_ip: "string",
    server_port: "int",
    server_region: "string",
    ts: { start: "timestamp" },
    geo: {
      city: "string",
      country: "string",
      country_code: "string",
      latitude: "string",
      longitude: "string",
      radius: "string",
      subdivision: "string",
    },
    k8s: {
      pod: {
        id: "string",
        labels: "map<string, string>",
        service_account: "string",
        metadata: {
          name: "string",
          namespace: "string",
          annotations: "map<string, string>",
          error_code: "string",
          error_message: "string",
        },
      },
      node: { name: "string" },
      namespace: { labels: "map<string, string>" },
    },
  },
  endpoint: {
    addr: "string",
    host: "string",
    id: "string",
    port: "int",
    protocol: "string",
    url: "string",
  },
  time: { now: "string" },
} as const satisfies VariableGroup;

/** What ngrok does not have: a policy that reads one of these means nothing there. */
export const EXTENSIONS: ReadonlySet<string> = new Set([
  "conn.k8s.pod.labels",
  "conn.k8s.pod.service_account",
  "conn.k8s.node.name",
  "conn.k8s.namespace.labels",
]);

const HTTP = "it belongs to HTTP requests, and on_tcp_connect runs before there is one";
const INTELLIGENCE = "nothing here knows more of an address than the address";
const NOT_MOVED = "no bytes have moved at on_tcp_connect";

const REFUSED: ReadonlyMap<string, string> = new Map([
  ...["categories", "is_on_blocklist", "is_tor_node", "as", "geo"].map((field): [string, string] => [
    `conn.client_ip.${field}`,
    INTELLIGENCE,
  ]),
  ["conn.tls", "TLS begins after on_tcp_connect"],
  ["conn.bytes_in", NOT_MOVED],
  ["conn.bytes_out", NOT_MOVED],
  ["conn.ts.end", "the connection has not ended at on_tcp_connect"],
  ["secrets", "there is no vault: nothing here reads secrets"],
  ["vars", "no set-vars action before it sets it"],
  ["actions", "no action before it sets it"],
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
  ["conn.k8s.pod.metadata.labels", "conn.k8s.pod.labels"],
  ["conn.k8s.pod.serviceAccount", "conn.k8s.pod.service_account"],
  ["conn.k8s.pod.serviceAccountName", "conn.k8s.pod.service_account"],
  ["conn.k8s.pod.node", "conn.k8s.node.name"],
  ["conn.k8s.namespace.name", "conn.k8s.pod.metadata.namespace"],
]);

/** As large as `identity/` lets them be. */
const LABELS: Bound = { entries: 256, characters: 4096 };
const BOUNDS: ReadonlyMap<string, Bound> = new Map([
  ["conn.k8s.pod.metadata.annotations", { entries: 128, characters: 1024 }],
  ["conn.k8s.pod.labels", LABELS],
  ["conn.k8s.namespace.labels", LABELS],
]);

/** Where nothing has been set. */
export const ENVIRONMENT: Environment = {
  variables: VARIABLES,
  refused: REFUSED,
  meant: MEANT,
  bounds: BOUNDS,
};

/** The most that a variable of `set-vars`, or a `log` action, may hold; more is an error when it is evaluated. */
export const VALUE_LIMIT: Bound = { entries: 256, characters: 4096 };

const NAME = {
  common_name: "string",
  country: "list<string>",
  locality: "list<string>",
  organization: "list<string>",
  organizational_unit: "list<string>",
  postal_code: "list<string>",
  province: "list<string>",
  street_address: "list<string>",
} as const satisfies VariableGroup;

const CERTIFICATE = {
  issuer: NAME,
  subject: NAME,
  san: {
    dns_names: "list<string>",
    email_addresses: "list<string>",
    ip_addresses: "list<string>",
    uris: "list<string>",
  },
  serial_number: "string",
  signature_algorithm: "string",
  validity: { not_before: "timestamp", not_after: "timestamp" },
  extensions: "list<map<string, dyn>>",
} as const satisfies VariableGroup;

/** What an action leaves behind under `actions.ngrok`, by the action's word there. */
const RESULTS = {
  log: { metadata: "map<string, dyn>" },
  restrict_ips: {
    action: "string",
    matched_cidr: "string",
    error: { code: "string", message: "string" },
  },
  terminate_tls: {
    version: "string",
    cipher_suite: "string",
    sni: "string",
    server: CERTIFICATE,
    client: CERTIFICATE,
    error_code: "string",
    error_message: "string",
    warnings: "list<string>",
  },
  forward_internal: { url: "string", error: { code: "string", message: "string" } },
} as const satisfies VariableGroup;

export type ResultName = keyof typeof RESULTS;

const TYPES: ReadonlySet<string> = new Set(["string", "int", "double", "bool"]);

/** The environment at one place of a policy: what rules and actions before it can have set is there too. */
export class Surroundings {
  readonly #vars = new Map<string, VariableType>();
  readonly #results = new Set<ResultName>();
  #environment: Environment | undefined;

  /** The same object until something new is set, so that whoever compiles against it may keep what it made of it. */
  get environment(): Environment {
    this.#environment ??= this.#build();
    return this.#environment;
  }

  /** A variable that a later place may read. Set twice with different types, only the evaluation shows which. */
  setVar(name: string, type: string): void {
    const known = this.#vars.get(name);
    const simple = TYPES.has(type) ? (type as VariableType) : "dyn";
    const both = known === undefined || known === simple ? simple : "dyn";
    if (known === both) return;
    this.#vars.set(name, both);
    this.#environment = undefined;
  }

  setResult(name: ResultName): void {
    if (this.#results.has(name)) return;
    this.#results.add(name);
    this.#environment = undefined;
  }

  #build(): Environment {
    if (this.#vars.size + this.#results.size === 0) return ENVIRONMENT;
    const vars = Object.fromEntries(this.#vars);
    const results = Object.fromEntries([...this.#results].map((name) => [name, RESULTS[name]]));
    return {
      variables: {
        ...VARIABLES,
        ...(this.#vars.size > 0 && { vars }),
        ...(this.#results.size > 0 && { actions: { ngrok: results } }),
      },
      refused: REFUSED,
      meant: MEANT,
      bounds: new Map([
        ...BOUNDS,
        ...[...this.#vars.keys()].map((name): [string, Bound] => [`vars.${name}`, VALUE_LIMIT]),
        ["actions.ngrok.log.metadata", VALUE_LIMIT],
        ...leaves("actions.ngrok.terminate_tls", RESULTS.terminate_tls).map((name): [string, Bound] => [
          name,
          VALUE_LIMIT,
        ]),
      ]),
    };
  }
}

function leaves(path: string, group: VariableGroup): string[] {
  return Object.entries(group).flatMap(([word, type]) => {
    const full = `${path}.${word}`;
    return typeof type === "string" ? [full] : leaves(full, type);
  });
}
