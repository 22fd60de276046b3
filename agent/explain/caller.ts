/** Who is asked about: a pod of the snapshot, a pod that does not exist yet, or nobody known. */
import { callerIdentity } from "../identity/pod-identity.ts";
import { type IpAddress, isIpv4 } from "../model/address.ts";
import { type Connection, UNKNOWN } from "../model/connection.ts";
import { type Identity, unresolved } from "../model/identity.ts";
import { type LocalPod, nameKey } from "../model/objects.ts";
import type { Caller } from "./explanation.ts";
import type { World } from "./world.ts";

export interface Questioner {
  /** Undefined: a caller that could not be identified. */
  readonly pod: LocalPod | undefined;
  /** Of one connection. Without it the question is about all of them, as the kernel's verdicts are. */
  readonly moment?: Moment;
}

export interface Moment {
  readonly clientPort: number;
  /** ms since 1970. */
  readonly time: number;
}

const UNRESOLVED = "unresolved";

/** `namespace/name`, or `unresolved`. */
export function findCaller({ snapshot }: World, text: string): Questioner | Error {
  if (text === UNRESOLVED) return { pod: undefined };
  if (!/^[^/]+\/[^/]+$/.test(text)) {
    return new Error(`ask for ${text}: write namespace/pod, or ${UNRESOLVED}`);
  }
  const pod = snapshot.localPods.find((each) => nameKey(each) === text);
  return pod === undefined ? new Error(`ask for ${text}: there is no such pod`) : { pod };
}

const NO_PARTS: Omit<LocalPod, "namespace" | "name" | "uid"> = {
  nodeName: "",
  ips: [],
  hostNetwork: false,
  completed: false,
  annotations: new Map(),
  labels: new Map(),
  serviceAccount: "default",
};

/** A pod as somebody describes it: what is not said is empty. */
export function describedPod(
  parts: { readonly namespace: string; readonly name: string } & Partial<LocalPod>,
): LocalPod {
  return { uid: `Pod/${parts.namespace}/${parts.name}`, ...NO_PARTS, ...parts };
}

export function identityOf({ snapshot }: World, { pod }: Questioner): Identity {
  return pod === undefined ? unresolved("asked for") : callerIdentity(pod, undefined, snapshot.namespaces);
}

/** The connection to `address`, where it is about one. */
export function connectionTo(
  { pod, moment }: Questioner,
  address: IpAddress,
  port: number,
): Connection | undefined {
  if (moment === undefined) return undefined;
  const own = pod?.ips.find((ip) => isIpv4(ip) === isIpv4(address));
  return {
    client: { ip: own ?? UNKNOWN, port: moment.clientPort },
    server: { ip: address, port },
    start: moment.time,
    now: moment.time,
  };
}

export function viewOfCaller(world: World, questioner: Questioner): Caller {
  const { pod, moment } = questioner;
  const identity = identityOf(world, questioner);
  const known = identity.kind === "pod" ? identity.pod : undefined;
  return {
    name: pod === undefined ? UNRESOLVED : nameKey(pod),
    identified: known !== undefined,
    ...(pod !== undefined && { uid: pod.uid }),
    ...(pod?.nodeName && { node: pod.nodeName }),
    annotations: Object.fromEntries(known?.annotations ?? []),
    ...(moment && {
      connection: { clientPort: moment.clientPort, time: new Date(moment.time).toISOString() },
    }),
    errorCode: known?.errorCode ?? "ERR_NGROK_28001",
    errorMessage: known?.errorMessage ?? (identity.kind === "unresolved" ? identity.message : ""),
  };
}
