/** `agent_state`: the sign of life without which nothing is sent to the proxy, and whose connects are not judged. */
import { encodeU32, layouts } from "./abi.ts";
import type { KernelMap } from "./table.ts";

export interface AgentStateOptions {
  /** Id of the cgroup whose processes are not judged: the agent's own or its pod's. 0n: it is not below the pods' root. */
  readonly cgroup: bigint;
  /** How long one heartbeat counts. */
  readonly timeoutMs: number;
}

export class AgentState {
  readonly #map: KernelMap;
  readonly #options: AgentStateOptions;
  readonly #now: () => bigint;

  /** Writes nothing yet. `now`: CLOCK_BOOTTIME, ns. */
  constructor(map: KernelMap, options: AgentStateOptions, now: () => bigint) {
    this.#map = map;
    this.#options = options;
    this.#now = now;
  }

  /** The agent lives and serves its listeners. To be called several times per `timeoutMs`, by what would serve them. */
  beat(): void {
    this.#write(this.#now());
  }

  /** No new connections from now on: they are refused, or allowed where a policy says so. The agent stays exempt. */
  end(): void {
    this.#write(0n);
  }

  #write(heartbeat: bigint): void {
    const at = layouts.agent_state;
    const value = Buffer.alloc(at.size);
    value.writeBigUInt64LE(heartbeat, at.heartbeat);
    value.writeBigUInt64LE(this.#options.cgroup, at.cgroup);
    value.writeBigUInt64LE(BigInt(Math.round(this.#options.timeoutMs * 1e6)), at.timeout_ns);
    this.#map.put(encodeU32(0), value);
  }
}
