/** `destinations`, `node_addresses` and `node_ports`: which guard an address belongs to. */

import type { IpAddress } from "../model/address.ts";
import { encodeAddress, encodeDestination, encodeNodePort, encodeU32 } from "./abi.ts";
import { type Entry, type KernelMap, keyText, Table } from "./table.ts";
import type { WantGuard } from "./want.ts";

/** A destination, or a port of every node address of a family. */
export type Place = (WantGuard["destinations"] | WantGuard["nodePorts"])[number];

export class AddressTables {
  readonly #destinations: Table;
  readonly #nodeAddresses: Table;
  readonly #nodePorts: Table;

  constructor(destinations: KernelMap, nodeAddresses: KernelMap, nodePorts: KernelMap) {
    this.#destinations = new Table(destinations);
    this.#nodeAddresses = new Table(nodeAddresses);
    this.#nodePorts = new Table(nodePorts);
  }

  /** Reads the kernel's entries and calls `seen` with every guard number in them. */
  load(seen: (guard: number) => void): void {
    for (const { value } of [...this.#destinations.load(), ...this.#nodePorts.load()])
      seen(value.readUInt32LE(0));
    this.#nodeAddresses.load();
  }

  sizes(): { destinations: number; node_ports: number } {
    return { destinations: this.#destinations.size, node_ports: this.#nodePorts.size };
  }

  has(place: Place): boolean {
    return "address" in place
      ? this.#destinations.has(encodeDestination(place.address, place.port))
      : this.#nodePorts.has(encodeNodePort(place));
  }

  /** The guard number that most of the wanted guard's addresses have now, among those that `free` accepts. */
  incumbent(guard: WantGuard, free: (number: number) => boolean): number | undefined {
    const votes = new Map<number, number>();
    for (const number of this.#numbersOf(guard)) {
      if (free(number)) votes.set(number, (votes.get(number) ?? 0) + 1);
    }
    const ranked = [...votes].sort(([a, votesA], [b, votesB]) => votesB - votesA || a - b);
    return ranked[0]?.[0];
  }

  /** Numbers that addresses of more than one of the wanted guards have now. */
  divided(guards: readonly WantGuard[]): ReadonlySet<number> {
    const holders = new Map<number, WantGuard>();
    const divided = new Set<number>();
    for (const guard of guards) {
      for (const number of this.#numbersOf(guard)) {
        if ((holders.get(number) ?? guard) !== guard) divided.add(number);
        holders.set(number, guard);
      }
    }
    return divided;
  }

  *#numbersOf({ destinations, nodePorts }: WantGuard): Generator<number> {
    for (const { address, port } of destinations) {
      const value = this.#destinations.value(encodeDestination(address, port));
      if (value !== undefined) yield value.readUInt32LE(0);
    }
    for (const place of nodePorts) {
      const value = this.#nodePorts.value(encodeNodePort(place));
      if (value !== undefined) yield value.readUInt32LE(0);
    }
  }

  /**
   * Points every wanted address at its guard and drops the rest. The guards must be complete. Node addresses come
   * before the ports that count on them. Returns entries changed.
   */
  set(
    guards: readonly WantGuard[],
    numberOf: (guard: WantGuard) => number,
    nodeAddresses: readonly IpAddress[],
  ): number {
    const nodes = nodeAddresses.map((address) => ({
      key: Buffer.from(encodeAddress(address)),
      value: encodeU32(1),
    }));
    const destinations: Entry[] = [];
    const ports: Entry[] = [];
    for (const guard of guards) {
      const value = encodeU32(numberOf(guard));
      for (const { address, port } of guard.destinations)
        destinations.push({ key: encodeDestination(address, port), value });
      for (const place of guard.nodePorts) ports.push({ key: encodeNodePort(place), value });
    }
    return (
      this.#nodeAddresses.put(nodes) +
      this.#destinations.put(destinations) +
      this.#nodePorts.put(ports) +
      dropStale(this.#destinations, destinations) +
      dropStale(this.#nodePorts, ports) +
      dropStale(this.#nodeAddresses, nodes)
    );
  }
}

function dropStale(table: Table, wanted: readonly Entry[]): number {
  return table.delete(table.stale(new Set(wanted.map(({ key }) => keyText(key)))));
}
