/** What the kernel should hold, in the words of the layers above. */
import type { IpAddress } from "../model/address.ts";
import type { Identity } from "../model/identity.ts";
import type { Verdict } from "../model/verdict.ts";

export interface WantPod {
  readonly uid: string;
  readonly namespace: string;
  /** Always of kind "pod": a pod that is unresolved is not registered at all. */
  readonly identity: Identity;
  readonly oversized: boolean;
  readonly cgroupIds: readonly bigint[];
  readonly netnsCookies: readonly bigint[];
  /** The pod's own addresses; at most 4 are kept. Empty for a pod in the node's namespace. */
  readonly addresses: readonly IpAddress[];
}

export interface WantGuard {
  /** Stable while the same policy objects apply, whatever their text. */
  readonly key: string;
  readonly destinations: readonly { readonly address: IpAddress; readonly port: number }[];
  readonly nodePorts: readonly number[];
  /** False: one verdict per namespace serves all its pods but those with ERR_NGROK_28000. */
  readonly perPod: boolean;
  /** Pure; called once per subject. */
  readonly decide: (identity: Identity) => Verdict;
}

export interface Want {
  readonly nodeAddresses: readonly IpAddress[];
  readonly guards: readonly WantGuard[];
  readonly pods: readonly WantPod[];
}
