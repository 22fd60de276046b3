/** `forwards`: the numbered addresses that forwarding verdicts point to. An entry never changes its address. */
import { formatAddress, type IpAddress, isIpv4 } from "../model/address.ts";
import type { ForwardTarget } from "../model/verdict.ts";
import { encodeForward, encodeU32, layouts } from "./abi.ts";
import { Registry } from "./numbers.ts";
import { type KernelMap, Table } from "./table.ts";

type Addresses = Pick<ForwardTarget, "ipv4" | "ipv6" | "port">;

export class ForwardTable {
  readonly #table: Table;
  readonly #numbers = new Registry();

  constructor(map: KernelMap) {
    this.#table = new Table(map);
  }

  load(): void {
    const targets = new Map<number, { ipv4?: IpAddress; ipv6?: IpAddress; port: number }>();
    for (const { key, value } of this.#table.load()) {
      const number = key.readUInt32LE(layouts.forward_key.forward);
      const address = formatAddress(value.subarray(0, 16));
      const port = value.readUInt16BE(layouts.forward.port);
      const family = isIpv4(address) ? { ipv4: address } : { ipv6: address };
      targets.set(number, { ...targets.get(number), ...family, port });
    }
    for (const [number, target] of targets) this.#numbers.adopt(targetKey(target), number);
  }

  seen(number: number): void {
    this.#numbers.seen(number);
  }

  /** The target's number; its addresses are in the kernel when this returns. */
  take(target: ForwardTarget): number {
    const number = this.#numbers.take(targetKey(target));
    const entries = [];
    if (target.ipv4)
      entries.push({ key: encodeU32(number, 4), value: encodeForward(target.ipv4, target.port) });
    if (target.ipv6)
      entries.push({ key: encodeU32(number, 6), value: encodeForward(target.ipv6, target.port) });
    this.#table.put(entries);
    return number;
  }

  /** Deletes the targets whose numbers are not in `used`. Call it after the grace period. */
  forget(used: ReadonlySet<number>): void {
    for (const name of [...this.#numbers.names()]) {
      const number = this.#numbers.get(name);
      if (number === undefined || used.has(number)) continue;
      this.#table.delete([encodeU32(number, 4), encodeU32(number, 6)]);
      this.#numbers.release(name);
    }
  }
}

function targetKey({ ipv4, ipv6, port }: Addresses): string {
  return `${ipv4 ?? "-"} ${ipv6 ?? "-"} ${port}`;
}
