/** The variables an expression may read, and their values for a caller. */
import type { Identity } from "../model/identity.ts";

export type VariableType = "string" | "map<string, string>";
export interface VariableGroup {
  readonly [field: string]: VariableType | VariableGroup;
}

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
