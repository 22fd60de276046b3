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

/**
 * Doors that one place may stand for, and policies that may meet at it, each counted once for every door that brought it. A tenant can point a thousand
 * Services at one pod and a thousand policies at each of them; what comes of that is no use to anybody, and takes all
 * the memory there is. Nobody but those who may guard a place, or whose Service leads there, can fill it.
 */
const MAX_MEETING = 100;

/** What covers one place. */
export interface Cover extends Place {
  /** More than 100 meet here, or at a place that this one leads to. There are no policies then: everybody is refused. */
  isCrowded: boolean;
  /** By the object's key: the doors that the policy guards and that brought it here. */
  readonly policies: Map<string, Set<Door>>;
  /** The doors that the place stands for. */
  readonly doors: Set<Door>;
}

/** A cover while it is made: `meeting` is how many have come together. */
type Meeting = Cover & { meeting: number };

/** The places that a door stands for: what its guard covers. */
export function placesOf(door: Door): readonly Place[] {
  return [...frontsOf(door), ...door.backends.filter(({ verified }) => verified)];
}

export function coverageOf(
  claims: readonly Claim[],
  services: Services,
  failsafe: Failsafe,
  nodeAddresses: ReadonlySet<IpAddress>,
): readonly Cover[] {
  const coverage = new Coverage(failsafe, nodeAddresses);
  coverage.guard(claims);
  coverage.inherit(services.doors);
  coverage.finish(services.doors);
  return coverage.covers();
}

class Coverage {
  readonly #failsafe: Failsafe;
  readonly #nodeAddresses: ReadonlySet<IpAddress>;
  readonly #covers = new Map<string, Meeting>();
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
        for (const place of placesOf(door)) {
          if (byName || !this.#protects(place)) this.#cover(place, policy, door);
        }
      }
    }
  }

  /**
   * Verified or not, a slice that points at a guarded address makes the Service a way in, and a way in has the guard:
   * that restricts nobody but this Service's own addresses. In chains (a slice that points at another Service's load
   * balancer) a door is looked at again when what it leads to has changed.
   */
  inherit(doors: readonly Door[]): void {
    const leadingTo = this.#doorsByBackend(doors);
    const waiting = new Set(doors);
    // A Set's iterator also visits what is added meanwhile.
    for (const door of waiting) {
      waiting.delete(door);
      for (const place of this.#passOn(door)) {
        for (const next of leadingTo.get(placeKey(place)) ?? []) waiting.add(next);
      }
    }
  }

  /** The door's own places that are covered by more than before. */
  #passOn(door: Door): Place[] {
    const { passedOn, isCrowded } = this.#passedOnTo(door);
    if (passedOn.length === 0 && !isCrowded) return [];
    return frontsOf(door).filter((front) => {
      if (this.#protects(front)) return false;
      if (isCrowded) return this.#crowd(this.#coverAt(front));
      const changed = passedOn.map(({ policy, origin }) => this.#cover(front, policy, origin));
      return changed.includes(true);
    });
  }

  #doorsByBackend(doors: readonly Door[]): ReadonlyMap<string, ReadonlySet<Door>> {
    const index = new Map<string, Set<Door>>();
    for (const door of doors) {
      for (const { address, port } of door.backends) {
        const onNode = this.#nodeAddresses.has(address);
        for (const place of [{ address, port }, ...(onNode ? [{ address: undefined, port }] : [])]) {
          const key = placeKey(place);
          index.set(key, (index.get(key) ?? new Set()).add(door));
        }
      }
    }
    return index;
  }

  finish(doors: readonly Door[]): void {
    for (const door of doors) {
      for (const place of placesOf(door)) {
        const cover = this.#covers.get(placeKey(place));
        if (cover?.doors.add(door).size === MAX_MEETING + 1) this.#crowd(cover);
      }
    }
    // A load balancer's or a hostNetwork pod's address may be a node's, and its port a node port: both lead there.
    for (const cover of this.#covers.values()) {
      const nodePort = this.#atNodePort(cover);
      if (nodePort === undefined) continue;
      if (nodePort.isCrowded) this.#crowd(cover);
      for (const [policy, origins] of nodePort.policies) {
        for (const origin of origins) this.#cover(cover, policy, origin);
      }
    }
  }

  covers(): readonly Cover[] {
    return [...this.#covers.values()];
  }

  /** What covers a door's backends, except by objects that guard the door itself: those see it as what it is. */
  #passedOnTo(door: Door): { passedOn: { policy: string; origin: Door }[]; isCrowded: boolean } {
    const guardedBy = this.#guardedBy.get(door.key);
    const covers = new Set(door.backends.flatMap((backend) => this.#at(backend)));
    const passedOn = [...covers]
      .flatMap((cover) => [...cover.policies])
      .filter(([policy]) => guardedBy?.has(policy) !== true)
      .flatMap(([policy, origins]) => [...origins].map((origin) => ({ policy, origin })));
    return { passedOn, isCrowded: [...covers].some((cover) => cover.isCrowded) };
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
  #cover(place: Place, policy: string, door: Door): boolean {
    const cover = this.#coverAt(place);
    const origins = cover.policies.get(policy) ?? new Set();
    if (cover.isCrowded || origins.has(door)) return false;
    cover.policies.set(policy, origins.add(door));
    cover.meeting += 1;
    if (cover.meeting > MAX_MEETING) this.#crowd(cover);
    return true;
  }

  #coverAt({ address, port }: Place): Meeting {
    const key = placeKey({ address, port });
    const known = this.#covers.get(key);
    if (known !== undefined) return known;
    const cover = {
      address,
      port,
      isCrowded: false,
      meeting: 0,
      policies: new Map(),
      doors: new Set<Door>(),
    };
    this.#covers.set(key, cover);
    return cover;
  }

  /** True if that is new. */
  #crowd(cover: Cover): boolean {
    if (cover.isCrowded) return false;
    cover.isCrowded = true;
    cover.policies.clear();
    return true;
  }
}

function frontsOf(door: Door): readonly Place[] {
  const fronts: Place[] = door.fronts.map((address) => ({ address, port: door.port }));
  return door.nodePort === 0 ? fronts : [...fronts, { address: undefined, port: door.nodePort }];
}

export function placeKey({ address, port }: Place): string {
  return addressKey(address ?? "node", port);
}
