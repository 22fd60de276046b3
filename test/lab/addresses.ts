/** The lab's addresses. Each lab has a network of its own, so all labs use the same ones. */

export const NODE_NAME = "lab-node";
/** Documentation addresses: nothing outside can be meant. */
export const NODE_IPV4 = "192.0.2.10";
export const NODE_IPV6 = "2001:db8::10";
export const SERVICE_CIDRS = ["10.96.0.0/16", "fd00:10:96::/112"] as const;
export const POD_CIDRS = ["10.244.0.0/16", "fd00:10:244::/112"] as const;

export interface PodAddresses {
  readonly ipv4: string;
  readonly ipv6: string;
}

/** Addresses of running pods. A freed address is given out again only after all others, unless it is asked for. */
export class AddressPool {
  readonly #owners = new Map<string, string>();
  #last = 1;

  /** A pair for the pod `uid`; the one `wanted` names, if any. Throws while another pod has it. */
  take(uid: string, wanted?: string): PodAddresses {
    const pair = wanted === undefined ? this.#next() : wantedPair(wanted);
    for (const address of Object.values(pair)) {
      const owner = this.#owners.get(address);
      if (owner !== undefined && owner !== uid)
        throw new Error(`give address ${address}: pod ${owner} still has it`);
    }
    for (const address of Object.values(pair)) this.#owners.set(address, uid);
    return pair;
  }

  release(uid: string): void {
    for (const [address, owner] of this.#owners) if (owner === uid) this.#owners.delete(address);
  }

  #next(): PodAddresses {
    for (let tried = 0; tried < 65_000; tried++) {
      this.#last = this.#last >= 65_000 ? 2 : this.#last + 1;
      const pair = pairAt(this.#last);
      if (!this.#owners.has(pair.ipv4) && !this.#owners.has(pair.ipv6)) return pair;
    }
    throw new Error("give a pod an address: all of 10.244.0.0/16 are taken");
  }
}

/** The pair number `index`: 2 is 10.244.0.2 and fd00:10:244::2. */
function pairAt(index: number): PodAddresses {
  return { ipv4: `10.244.${index >> 8}.${index & 255}`, ipv6: `fd00:10:244::${index.toString(16)}` };
}

/** `10.244.1.7`, or both families: `10.244.1.7,fd00:10:244::107`. */
function wantedPair(text: string): PodAddresses {
  const [ipv4 = "", ipv6] = text.split(",").map((part) => part.trim());
  const octets = /^10\.244\.(\d{1,3})\.(\d{1,3})$/.exec(ipv4);
  if (octets === null) throw new Error(`give address ${JSON.stringify(text)}: write one of 10.244.0.0/16`);
  const index = Number(octets[1]) * 256 + Number(octets[2]);
  return { ipv4, ipv6: ipv6 ?? pairAt(index).ipv6 };
}
