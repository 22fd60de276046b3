/** Asks about one open connection after another what would be decided now: with the objects of one reconcile run. */
import { addToSieve, type End, makeSieve } from "../dataplane/sieve.ts";
import type { Turns } from "../dataplane/turns.ts";
import { indexPods } from "../guard/backends.ts";
import type { Destination, Guard } from "../guard/guard.ts";
import { isLinkLocal, LINK_LOCAL, linkLocalPorts } from "../guard/link-local.ts";
import { type Dialler, type Guarded, type OpenConnection, revocation } from "../guard/revocation.ts";
import { ownAddressesOf } from "../identity/local-pods.ts";
import type { IdentityReader } from "../identity/pod-identity.ts";
import { isLoopback } from "../model/address.ts";
import type { PodIdentity } from "../model/identity.ts";
import type { LocalPod } from "../model/objects.ts";
import type { Decision } from "../model/verdict.ts";
import type { Reconciled } from "../reconcile.ts";

/** A connection that has been ended, and what ended it. */
export interface Revoked {
  /** ms since 1970. */
  readonly time: number;
  readonly pod: PodIdentity;
  readonly layer: "connect4" | "connect6" | "proxy";
  readonly connection: OpenConnection;
  readonly decision: Decision;
}

export class Judge {
  readonly #diallers: ReadonlyMap<string, Dialler>;
  readonly #guarded: Guarded;
  readonly #guards: readonly Guard[];
  #sieve: Uint8Array | undefined;

  constructor({ guardSet, registration, snapshot }: Reconciled, identityOf: IdentityReader) {
    const { guards, guardAt, routes } = guardSet;
    const byAddress = indexPods(snapshot.pods);
    const claimants = (address: string) => byAddress.get(address) ?? [];
    const dialler = (pod: LocalPod): Dialler => ({
      identity: identityOf(pod, snapshot.namespaces),
      ownAddresses: ownAddressesOf(pod, claimants),
      isOnNode: pod.hostNetwork,
    });
    this.#diallers = new Map(registration.registered.map(({ pod }) => [pod.uid, dialler(pod)]));
    const lasting = guards.filter(
      ({ policies, isCrowded }) => isCrowded || policies.some(({ connectOnly }) => !connectOnly),
    );
    this.#guards = guards;
    this.#guarded = {
      guardAt,
      routes,
      linkLocalPorts: new Set(linkLocalPorts(lasting, routes.services)),
    };
  }

  /** Of where connections lead about which `revocation` may have something to say. */
  async sieve(turns: Turns): Promise<Uint8Array> {
    if (this.#sieve !== undefined) return this.#sieve;
    const ends: readonly End[] = [
      ...this.#guards.flatMap(({ destinations }) => destinations).map(anyLoopback),
      ...this.#guards.flatMap(({ nodePorts }) => nodePorts.map((port) => ({ port }))),
      ...[...this.#guarded.linkLocalPorts].map((port) => ({ address: LINK_LOCAL, port })),
    ];
    const sieve = makeSieve(ends.length);
    for (const { address, port } of ends) {
      if (turns.isOver()) await turns.pause();
      const isOnLink = address !== undefined && isLinkLocal(address);
      addToSieve(sieve, { ...(address && { address: isOnLink ? LINK_LOCAL : address }), port });
    }
    this.#sieve = sieve;
    return sieve;
  }

  /** In which namespaces the policies are that stand where it was dialled. */
  ownerOf({ dialled: { address, port } }: OpenConnection): string {
    const guard = this.#guarded.guardAt(address, port);
    return guard?.policies.map(({ object }) => object.namespace).join() ?? "";
  }

  /** Undefined: it goes on, as does every connection of a pod that is not (yet) identified. `now`: ms since 1970. */
  revocation(
    podUid: string,
    connection: OpenConnection,
    now: number,
  ): Pick<Revoked, "pod" | "decision"> | undefined {
    const dialler = this.#diallers.get(podUid);
    if (dialler === undefined) return undefined;
    const decision = revocation(connection, dialler, this.#guarded, now);
    return decision && { pod: dialler.identity, decision };
  }
}

/** All of loopback leads to the same. */
function anyLoopback({ address, port }: Destination): End {
  return isLoopback(address) ? { port } : { address, port };
}
