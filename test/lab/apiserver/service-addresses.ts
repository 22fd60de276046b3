/** Which cluster IPs and node ports are given out, and which is next. */
import type { IpAddress } from "../../../agent/model/address.ts";
import { IpRange } from "./ip-range.ts";
import { arrayOr, at, objectOr } from "./json.ts";
import type { KubeObject } from "./object.ts";

export const nodePortRange = { first: 30_000, last: 32_767 };

export class ServiceAddresses {
  /** At most one of a family; the first is that of Services that do not say. */
  readonly ranges: readonly IpRange[];
  /** uid -> what that Service holds. */
  readonly held = new Map<string, { ips: readonly IpAddress[]; ports: readonly string[] }>();
  readonly #ports = new Set<string>();
  #cursor = nodePortRange.first - 1;

  constructor(cidrs: readonly string[]) {
    this.ranges = cidrs.map((cidr) => new IpRange(cidr));
  }

  rangeOf(family: unknown): IpRange | undefined {
    return this.ranges.find((range) => range.family === family);
  }

  hasPort(port: number, protocol: unknown): boolean {
    return this.#ports.has(`${protocol} ${port}`);
  }

  freePort(protocol: unknown, planned: ReadonlySet<number>): number | undefined {
    const { first, last } = nodePortRange;
    for (let tried = 0; tried <= last - first; tried++) {
      this.#cursor = this.#cursor >= last ? first : this.#cursor + 1;
      if (!this.hasPort(this.#cursor, protocol) && !planned.has(this.#cursor)) return this.#cursor;
    }
    return undefined;
  }

  /** Makes `uid` hold exactly these. */
  hold(uid: string, ips: readonly IpAddress[], ports: readonly string[]): void {
    const before = this.held.get(uid);
    for (const ip of before?.ips ?? []) for (const range of this.ranges) range.giveBack(ip);
    for (const port of before?.ports ?? []) this.#ports.delete(port);
    for (const ip of ips) this.ranges.find((range) => range.contains(ip))?.take(ip);
    for (const port of ports) this.#ports.add(port);
    this.held.set(uid, { ips, ports });
  }
}

export function takeAll(addresses: ServiceAddresses, object: KubeObject): void {
  const ips = arrayOr(at(object, "spec.clusterIPs")).filter((ip) => ip !== "None");
  const ports = arrayOr(at(object, "spec.ports"))
    .map(objectOr)
    .filter(({ nodePort }) => nodePort)
    .map(({ nodePort, protocol }) => `${protocol} ${nodePort}`);
  addresses.hold(object.metadata.uid, ips.map(String), ports);
}

export function releaseAll(addresses: ServiceAddresses, object: KubeObject): void {
  addresses.hold(object.metadata.uid, [], []);
  addresses.held.delete(object.metadata.uid);
}
