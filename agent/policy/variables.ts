/** The variables an expression may read, and their values for a caller. */
import type { Identity } from "../model/identity.ts";
import type { Environment, VariableGroup } from "./cel/environment.ts";

export const VARIABLES = {
  conn: {
    k8s: {
      pod: {
        id: "string",
        metadata: {
          name: "string",
          namespace: "string",
          annotations: "map<string, string>",
          error_code: "string",
          error_message: "string",
        },
      },
    },
  },
} as const satisfies VariableGroup;

const PER_CONNECTION = "only a connection knows it, and verdicts are made per pod";
const HTTP = "it belongs to HTTP requests, and on_tcp_connect runs before there is one";

export const ENVIRONMENT: Environment = {
  variables: VARIABLES,
  refused: new Map([
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
  ]),
  meant: new Map([
    ["conn.k8s.pod.name", "conn.k8s.pod.metadata.name"],
    ["conn.k8s.pod.namespace", "conn.k8s.pod.metadata.namespace"],
    ["conn.k8s.pod.annotations", "conn.k8s.pod.metadata.annotations"],
    ["conn.k8s.pod.error_code", "conn.k8s.pod.metadata.error_code"],
    ["conn.k8s.pod.error_message", "conn.k8s.pod.metadata.error_message"],
    ["conn.k8s.pod.uid", "conn.k8s.pod.id"],
    ["conn.k8s.pod.metadata.uid", "conn.k8s.pod.id"],
    ["conn.k8s.pod.metadata.id", "conn.k8s.pod.id"],
  ]),
  bounds: new Map([["conn.k8s.pod.metadata.annotations", { entries: 128, characters: 1024 }]]),
};

/**
 * Equal for every pod of a namespace whose identity is whole: error_code and error_message are "" for all of them.
 * (A pod with ERR_NGROK_28000 is judged on its own whatever a policy reads.)
 */
export const NAMESPACE_VARIABLES: ReadonlySet<string> = new Set([
  "conn.k8s.pod.metadata.namespace",
  "conn.k8s.pod.metadata.error_code",
  "conn.k8s.pod.metadata.error_message",
]);

/**
 * ngrok's text for ERR_NGROK_28001. A policy sees it whatever the cause, because one verdict serves all callers
 * that are unresolved; the cause is for the log (`Identity.message`).
 */
const UNRESOLVED_MESSAGE =
  "Failed to retrieve pod identity metadata: ensure pod has proper annotations and service account configuration";

export interface VariableValues {
  readonly conn: {
    readonly k8s: {
      readonly pod: {
        readonly id: string;
        readonly metadata: {
          readonly name: string;
          readonly namespace: string;
          readonly annotations: ReadonlyMap<string, string>;
          readonly error_code: string;
          readonly error_message: string;
        };
      };
    };
  };
}

const NO_ANNOTATIONS: ReadonlyMap<string, string> = new Map();

/** What the expressions see of `identity`: nothing but the error for a caller that could not be found. */
export function variableValues(identity: Identity): VariableValues {
  if (identity.kind === "unresolved") {
    return podValues("", "", "", NO_ANNOTATIONS, identity.code, UNRESOLVED_MESSAGE);
  }
  const { id, name, namespace, annotations, errorCode, errorMessage } = identity.pod;
  return podValues(id, name, namespace, annotations, errorCode, errorMessage);
}

function podValues(
  id: string,
  name: string,
  namespace: string,
  annotations: ReadonlyMap<string, string>,
  error_code: string,
  error_message: string,
): VariableValues {
  return {
    conn: { k8s: { pod: { id, metadata: { name, namespace, annotations, error_code, error_message } } } },
  };
}
