/** Which policies cover which address: those that guard it, and those it inherits because it leads to a guarded one. */
import type { IpAddress } from "../model/address.ts";
import { refKey } from "../model/objects.ts";
import type { Claim } from "./claims.ts";
import type { Failsafe } from "./failsafe.ts";
import { addressKey, type Door, type Services } from "./services.ts";

/** An address and port, or a port of every node address (`address` undefined). */
export interface Place {
  readonly address: IpAddress | undefined;
  readonly port: number;
}

/** What covers one place. */
export interface Cover extends Place {
  /** By the object's key: the doors that the policy guards and that brought it here. */
  readonly policies: Map<string, Set<Door>>;
  /** The doors that the place stands for. */
  readonly doors: Set<Door>;
}

export function coverageOf(
  claims: readonly Claim[],
  services: Services,
  failsafe: Failsafe,
  nodeAddresses: ReadonlySet<IpAddress>,
): readonly Cover[] {
  const coverage = new Coverage(failsafe, nodeAddresses);
  coverage.guard(claims);
  while (coverage.inherit(services.doors));
  coverage.finish(services.doors);
  return coverage.covers();
}

class Coverage {
  readonly #failsafe: Failsafe;
  readonly #nodeAddresses: ReadonlySet<IpAddress>;
  readonly #covers = new Map<string, Cover>();
  /** By door: the keys of the objects that guard it themselves. */
  readonly #guardedBy = new Map<string, Set<string>>();

  constructor(failsafe: Failsafe, nodeAddresses: ReadonlySet<IpAddress>) {
    this.#failsafe = failsafe;
    this.#nodeAddresses = nodeAddresses;
  }

  /** Every address of the doors that the claims were granted. */
  guard(claims: readonly Claim[]): void {
    for (const { resolved, doors } of claims) {
      const policy = refKey(resolved.object);
      for (const door of doors ?? []) {
        const guardedBy = this.#guardedBy.get(door.key) ?? new Set();
        this.#guardedBy.set(door.key, guardedBy.add(policy));
        const byName = this.#failsafe.isProtected(door.service);
        for (const place of [...frontsOf(door), ...door.backends.filter(({ verified }) => verified)]) {
          if (byName || !this.#protects(place)) this.#cover(place, policy, door);
        }
      }
    }
  }

  /**
   * One step of inheritance; true while something is new. Verified or not, a slice that points at a guarded address
   * makes the Service a way in, and a way in has the guard: that restricts nobody but this Service's own addresses.
   * Chains (a slice that points at another Service's load balancer) are why one step may not be enough.
   */
  inherit(doors: readonly Door[]): boolean {
    let changed = false;
    for (const door of doors) {
      const passedOn = this.#passedOnTo(door);
      if (passedOn.length === 0) continue;
      for (const place of frontsOf(door).filter((front) => !this.#protects(front))) {
        for (const { policy, origin } of passedOn) changed = this.#cover(place, policy, origin) || changed;
      }
    }
    return changed;
  }

  finish(doors: readonly Door[]): void {
    for (const door of doors) {
      for (const place of [...frontsOf(door), ...door.backends.filter(({ verified }) => verified)]) {
        this.#covers.get(placeKey(place))?.doors.add(door);
      }
    }
    // A load balancer's or a hostNetwork pod's address may be a node's, and its port a node port: both lead there.
    for (const cover of this.#covers.values()) {
      const nodePort = this.#atNodePort(cover);
      if (nodePort === undefined) continue;
      for (const [policy, origins] of nodePort.policies) {
        for (const origin of origins) this.#cover(cover, policy, origin);
      }
    }
  }

  covers(): readonly Cover[] {
    return [...this.#covers.values()];
  }

  /** What covers a door's backends, except by objects that guard the door itself: those see it as what it is. */
  #passedOnTo(door: Door): { policy: string; origin: Door }[] {
    const guardedBy = this.#guardedBy.get(door.key);
    return door.backends
      .flatMap((backend) => this.#at(backend))
      .flatMap((cover) => [...cover.policies])
      .filter(([policy]) => guardedBy?.has(policy) !== true)
      .flatMap(([policy, origins]) => [...origins].map((origin) => ({ policy, origin })));
  }

  #at(place: { readonly address: IpAddress; readonly port: number }): Cover[] {
    const found = [this.#covers.get(placeKey(place)), this.#atNodePort(place)];
    return found.filter((cover) => cover !== undefined);
  }

  #atNodePort({ address, port }: Place): Cover | undefined {
    const onNode = address !== undefined && this.#nodeAddresses.has(address);
    return onNode ? this.#covers.get(placeKey({ address: undefined, port })) : undefined;
  }

  #protects({ address, port }: Place): boolean {
    return address === undefined
      ? this.#failsafe.protectsNodePort(port)
      : this.#failsafe.protects(address, port);
  }

  /** True if that is new. */
  #cover({ address, port }: Place, policy: string, door: Door): boolean {
    const key = placeKey({ address, port });
    const cover: Cover = this.#covers.get(key) ?? { address, port, policies: new Map(), doors: new Set() };
    const origins = cover.policies.get(policy) ?? new Set();
    if (origins.has(door)) return false;
    this.#covers.set(key, cover);
    cover.policies.set(policy, origins.add(door));
    return true;
  }
}

function frontsOf(door: Door): readonly Place[] {
  const fronts: Place[] = door.fronts.map((address) => ({ address, port: door.port }));
  return door.nodePort === 0 ? fronts : [...fronts, { address: undefined, port: door.nodePort }];
}

function placeKey({ address, port }: Place): string {
  return addressKey(address ?? "node", port);
}
