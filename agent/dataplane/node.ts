/**
 * All that an agent has in its node's kernel: the lock on the pins, the programs and maps, and two sources of
 * knowledge about pods that not every kernel has. What is missing has a fall-back and is reported, not fatal.
 */
import { relative } from "node:path";
import { AgentState } from "./agent-state.ts";
import { watchCgroups } from "./cgroup-watch.ts";
import { Kernel, lockPins, makePinDirectories, mountDepth, mountRoot } from "./kernel.ts";
import { ListenerTable } from "./listener-table.ts";
import { loadNative, type Native } from "./native.ts";
import { NetnsScan, type TaskNetns } from "./netns-scan.ts";
import { ownCgroup } from "./own-cgroup.ts";

const BEAT_MS = 1000;

export interface NodeOptions {
  readonly pinPath: string;
  readonly cgroupRoot: string;
  readonly eventsPerSecond: number;
  /** How long an agent that has died or hangs counts as one that answers, in ms. */
  readonly agentDownAfter: number;
  /** A feature that this kernel lacks: what was tried, and why it failed. */
  readonly onMissing: (operation: string, why: string) => void;
}

export class Node {
  readonly kernel: Kernel;
  /** Cookie of the node's own network namespace; 0n where the kernel does not tell. */
  readonly netnsCookie: bigint;
  readonly #native: Native;
  readonly #options: NodeOptions;
  readonly #scan: NetnsScan | undefined;
  /** How many cgroups lie above the pods' one, those included that a cgroup namespace hides. */
  readonly #level: number;
  readonly #opened: { close(): void }[] = [];
  #life: { close(): void } | undefined;

  /** Attaches nothing yet. @throws Error that says what the node lacks, or that another agent has the pins. */
  constructor(options: NodeOptions) {
    this.#options = options;
    const { pinPath, cgroupRoot, eventsPerSecond } = options;
    this.#native = loadNative();
    this.#native.setMemlockUnlimited();
    makePinDirectories(this.#native, pinPath);
    this.#own(lockPins(this.#native, pinPath));
    try {
      this.netnsCookie =
        this.#attempt("read the node's namespace cookie", () => this.#native.netnsCookie()) ?? 0n;
      this.#scan = this.#attempt("scan the pods' namespaces", () =>
        this.#own(new NetnsScan(this.#native, cgroupRoot)),
      );
      this.#level = this.taskNetns()[0]?.rootLevel ?? mountDepth(this.#native, cgroupRoot);
      this.kernel = this.#own(
        new Kernel(this.#native, {
          pinPath,
          cgroupRoot,
          cgroupLevel: this.#level,
          nodeNetnsCookie: this.netnsCookie,
          eventsPerSecond,
        }),
      );
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Puts the programs in force. Returns whether connections can be sent to the proxy; where they cannot, they are
   * refused, and whatever an earlier agent listened on is forgotten either way.
   */
  attach(): boolean {
    new ListenerTable(this.kernel.maps).clear();
    const follows = this.#attempt("send connections to the proxy", () => {
      this.kernel.attachSockops();
      return true;
    });
    this.#live();
    this.kernel.attach();
    return follows ?? false;
  }

  /** One entry per task of a pod; none where the kernel cannot tell. */
  taskNetns(): readonly TaskNetns[] {
    return this.#scan?.read() ?? [];
  }

  /** @throws Error when the directory is gone. */
  cgroupId(path: string): bigint {
    return this.#native.cgroupId(path);
  }

  /** Calls `onChange` when a pod's cgroup is made or removed, until `close`. */
  watchCgroups(onChange: () => void): void {
    const { cgroupRoot, onMissing } = this.#options;
    if (this.#level !== mountDepth(this.#native, cgroupRoot)) {
      onMissing("watch for new pod cgroups", "a cgroup namespace hides the hierarchy's root");
      return;
    }
    const path = `/${relative(mountRoot(this.#native, cgroupRoot), cgroupRoot)}`;
    this.#attempt("watch for new pod cgroups", () => this.#own(watchCgroups(this.#native, path, onChange)));
  }

  /** Says that no agent decides from now on: who would wait for it is refused, or allowed where a policy says so. */
  retire(): void {
    this.#life?.close();
  }

  /** Closes descriptors and says that no agent runs. What is pinned stays in force. */
  close(): void {
    for (const handle of this.#opened.splice(0).reverse()) handle.close();
  }

  /** Beats for as long as this agent runs, so that what waits for it is not taken for abandoned. */
  #live(): void {
    const own = ownCgroup(this.#options.cgroupRoot);
    const options = {
      cgroup: own === undefined ? 0n : this.cgroupId(own),
      timeoutMs: this.#options.agentDownAfter,
    };
    const state = new AgentState(this.kernel.maps.agent_state, options, this.#native.bootTime);
    state.beat();
    const timer = setInterval(() => state.beat(), BEAT_MS).unref();
    this.#life = this.#own({
      close: () => {
        clearInterval(timer);
        state.end();
      },
    });
  }

  #attempt<T>(operation: string, attempt: () => T): T | undefined {
    try {
      return attempt();
    } catch (error) {
      this.#options.onMissing(operation, (error as Error).message);
      return undefined;
    }
  }

  #own<T extends { close(): void }>(handle: T): T {
    this.#opened.push(handle);
    return handle;
  }
}
