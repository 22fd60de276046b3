/** What the kernel should hold, in the words of the layers above. */
import type { IpAddress } from "../model/address.ts";
import type { Identity, PodIdentity } from "../model/identity.ts";
import type { Verdict } from "../model/verdict.ts";
import type { SubjectScope } from "../policy/policy.ts";

export interface WantPod {
  /** With an error code (ERR_NGROK_28000) the pod has verdicts of its own in every guard. */
  readonly identity: PodIdentity;
  readonly cgroupIds: readonly bigint[];
  readonly netnsCookies: readonly bigint[];
  /** The pod's own addresses; at most 4 are kept. Empty for a pod in the node's namespace. */
  readonly addresses: readonly IpAddress[];
}

export interface WantGuard {
  /** Stable while the same policy objects apply, whatever their text. */
  readonly key: string;
  readonly destinations: readonly { readonly address: IpAddress; readonly port: number }[];
  /** Ports of all node addresses of the family. */
  readonly nodePorts: readonly { readonly port: number; readonly family: 4 | 6 }[];
  /** What of a caller its verdict depends on. */
  readonly scope: SubjectScope;
  /** Pure; called once per subject. */
  readonly decide: (identity: Identity) => Verdict;
}

export interface Want {
  readonly nodeAddresses: readonly IpAddress[];
  readonly guards: readonly WantGuard[];
  readonly pods: readonly WantPod[];
}
