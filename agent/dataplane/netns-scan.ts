/** Which network namespaces the pods' processes are in, and how deep the kubepods root really lies. Needs kernel BTF. */
import { encodeU64, layouts } from "./abi.ts";
import { objectPath } from "./kernel.ts";
import type { BpfProgram, Native } from "./native.ts";

/** A process somewhere below the kubepods root. Ids are 0n where there is no such ancestor. */
export interface TaskNetns {
  readonly cookie: bigint;
  /** The cgroup directly under the root that the task is in or below. */
  readonly child: bigint;
  /** And the one below that. */
  readonly grandchild: bigint;
  /** Depth of the root in the whole hierarchy. */
  readonly rootLevel: number;
}

/** 200,000 processes. */
const MAX_BYTES = 8 << 20;

export class NetnsScan {
  readonly #program: BpfProgram;
  #last: readonly TaskNetns[] = [];

  /** @throws NativeError where the kernel cannot: then namespaces are no evidence and cgroups decide alone. */
  constructor(native: Native, cgroupRoot: string, path = objectPath("netns")) {
    const object = new native.BpfObject(path);
    try {
      object.setGlobal("kubepods_cgroup", encodeU64(native.cgroupId(cgroupRoot)));
      object.load();
      this.#program = object.program("task_netns");
    } finally {
      object.close();
    }
  }

  /**
   * One entry per process, in no order. Where there are more than anybody needs, what was read before: processes that
   * some pod made must not stop the agent, and a cookie that was right is never another namespace's.
   */
  read(): readonly TaskNetns[] {
    try {
      this.#last = decode(this.#program.iterate(MAX_BYTES));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EMSGSIZE") throw error;
    }
    return this.#last;
  }

  close(): void {
    this.#program.close();
  }
}

function decode(bytes: Buffer): TaskNetns[] {
  const at = layouts.task_netns;
  return Array.from({ length: Math.floor(bytes.length / at.size) }, (_, i) => {
    const line = bytes.subarray(i * at.size, (i + 1) * at.size);
    return {
      cookie: line.readBigUInt64LE(at.netns_cookie),
      child: line.readBigUInt64LE(at.child),
      grandchild: line.readBigUInt64LE(at.grandchild),
      rootLevel: line.readUInt32LE(at.root_level),
    };
  });
}
