/** Who opens a connection: a pod, or nobody that could be found. */
import type { IpAddress } from "./address.ts";
import type { Known } from "./connection.ts";

/** What a policy may read of a pod. `annotations` holds only surfaced keys (see identity/annotations.ts). */
export interface PodIdentity {
  /** The pod's UID. */
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  readonly annotations: ReadonlyMap<string, string>;
  /** Unknown where there are more than a policy may read. */
  readonly labels: Known<ReadonlyMap<string, string>>;
  readonly serviceAccount: string;
  readonly nodeName: string;
  /** Of the pod's namespace; unknown until that object has arrived. */
  readonly namespaceLabels: Known<ReadonlyMap<string, string>>;
  /** That connections of the pod come from; empty while it has none, and for a pod on its node's network. */
  readonly addresses: readonly IpAddress[];
  /** "" or, when the annotations were cut at 1024 bytes, ERR_NGROK_28000. */
  readonly errorCode: "" | "ERR_NGROK_28000";
  readonly errorMessage: string;
}

export type Identity =
  | { readonly kind: "pod"; readonly pod: PodIdentity }
  | { readonly kind: "unresolved"; readonly code: "ERR_NGROK_28001"; readonly message: string };

/** ngrok's text for ERR_NGROK_28001, and why here. */
export function unresolved(why: string): Identity {
  return {
    kind: "unresolved",
    code: "ERR_NGROK_28001",
    message: `Failed to retrieve pod identity metadata: ${why}`,
  };
}
