/**
 * Builds the proxy and joins it with the rest of the agent: which pods need it, what is decided about a connection and as
 * whose, what the log says. Without a broker there is none, and what it would decide is refused.
 */
import { ListenerTable } from "./dataplane/listener-table.ts";
import type { Native } from "./dataplane/native.ts";
import { RedirectTable } from "./dataplane/redirect-table.ts";
import type { KernelMap } from "./dataplane/table.ts";
import { clientIp, familyOf } from "./guard/context.ts";
import type { Clock } from "./model/clock.ts";
import { unresolved } from "./model/identity.ts";
import type { LogMetadata } from "./model/verdict.ts";
import type { Caller as NamedCaller, Narrator } from "./narrate.ts";
import { placesOf } from "./pod-places.ts";
import { BrokerClient, type Sockets } from "./proxy/broker-client.ts";
import { shakingHands } from "./proxy/handshake.ts";
import { Listeners } from "./proxy/listeners.ts";
import type { Limits } from "./proxy/quota.ts";
import { type Caller, type Outcome, type Ruling, TcpProxy } from "./proxy/tcp-proxy.ts";
import type { ProxiedConnection } from "./reauthorize/reauthorizer.ts";
import { logOf, recallConnection, rulingOf } from "./recall.ts";
import type { Reconciled } from "./reconcile.ts";
import { LineLimit } from "./verdict/line-limit.ts";
import type { AgentLog } from "./verdict/log.ts";
import { limitRepeats } from "./verdict/repeats.ts";

export interface ProxyingOptions {
  /** Undefined: there is no broker. */
  readonly brokerSocket?: string;
  /** The cgroup that holds the pods' directories. */
  readonly cgroupRoot: string;
  readonly eventsPerSecond: number;
  /** In ms, all of these. */
  readonly agentDownAfter: number;
  readonly handshakeTimeout: number;
  readonly connectTimeout: number;
  readonly idleTimeout: number;
  readonly drainTimeout: number;
  readonly open: Limits;
  readonly pending: Limits;
  /** Of those, with TLS that ends here. */
  readonly tls: Limits;
}

export interface ProxyingParts {
  readonly native: Native;
  readonly maps: Readonly<Record<"listeners" | "note_counts" | "redirects" | "forwarded_sockets", KernelMap>>;
  readonly narrator: Narrator;
  readonly log: AgentLog;
  readonly clock: Clock;
}

/** What the log needs of a decision and the proxy does not. */
interface Told extends Ruling {
  readonly named: NamedCaller;
  readonly records: readonly LogMetadata[];
}

export class Proxying {
  readonly #options: ProxyingOptions;
  readonly #parts: ProxyingParts;
  readonly #limit: LineLimit;
  readonly #closers: (() => void | Promise<void>)[] = [];
  #latest: Reconciled | undefined;
  #listeners: Listeners | undefined;
  #proxy: TcpProxy | undefined;
  #broker: BrokerClient | undefined;

  constructor(options: ProxyingOptions, parts: ProxyingParts) {
    this.#options = options;
    this.#parts = parts;
    this.#limit = new LineLimit(options.eventsPerSecond);
  }

  /** To be called when the kernel's programs are attached. `canRedirect`: whether they can send connections to the proxy. */
  start(canRedirect: boolean): void {
    const { brokerSocket } = this.#options;
    if (brokerSocket === undefined) {
      this.#parts.log.log("info", "there is no socket broker: what only a proxy can decide is refused");
      return;
    }
    const broker = this.#connect(brokerSocket);
    if (canRedirect) this.#open(broker);
  }

  /** Undefined: there is no broker, or this has not started. */
  get sockets(): Sockets | undefined {
    return this.#broker;
  }

  /** Undefined: there is no proxy. */
  get counts() {
    return this.#proxy?.counts;
  }

  /** Connections that the proxy has let through, for who judges them again. */
  *proxied(): Iterable<ProxiedConnection> {
    for (const { caller, ruling, stop } of this.#proxy?.open ?? []) {
      const { dialled, pod } = caller.entry;
      const { identity } = this.#parts.narrator.caller(pod);
      const end = () => {
        stop();
        return true;
      };
      const client = {
        address: clientIp(identity, familyOf(dialled.address)),
        port: caller.client.port,
      };
      const { podUid, tls } = caller;
      yield { podUid, client, dialled, remote: ruling.target ?? dialled, ...(tls && { tls }), end };
    }
  }

  learn(latest: Reconciled): void {
    this.#latest = latest;
    this.#listen();
  }

  /** Lets no more connections in, waits for those that are open, and resets what is left after the drain time. */
  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) await close();
  }

  #connect(socketPath: string): BrokerClient {
    const { native, clock } = this.#parts;
    const log = limitRepeats(this.#parts.log.log, () => clock.now());
    const broker = new BrokerClient(native, {
      socketPath,
      clock,
      agentDownAfter: this.#options.agentDownAfter,
      onChange: (connected, why) => {
        if (connected) log("info", "connected to the socket broker", { socket: socketPath });
        else
          log("warn", "the socket broker is away: what only a proxy can decide is refused", {
            error: why,
          });
        // What failed without it is tried again.
        if (connected) this.#listen();
        if (connected) void this.#listeners?.watch();
      },
    });
    this.#broker = broker;
    this.#closers.push(() => broker.close());
    broker.start();
    return broker;
  }

  #open(broker: BrokerClient): void {
    const { native, maps, log } = this.#parts;
    const { connectTimeout, idleTimeout, agentDownAfter, drainTimeout, open, pending, tls } = this.#options;
    const pump = new native.Pump({ threads: 2 });
    const ports = new ListenerTable(maps, open.perPod);
    const redirects = new RedirectTable(maps, (cookie) => ports.take(cookie));
    const proxy = new TcpProxy({
      native,
      pump,
      sockets: broker,
      take: (cookie, { address, port }, family) => redirects.take(cookie, port, family, address),
      decide: (caller) => this.#decide(caller),
      onOutcome: (outcome) => this.#attempt("a verdict could not be logged", () => this.#tell(outcome)),
      bootTime: native.bootTime,
      longestWaitMs: agentDownAfter,
      shakeHands: shakingHands(native),
      handshakeTimeoutMs: this.#options.handshakeTimeout,
      connectTimeoutMs: connectTimeout,
      idleMs: idleTimeout,
      open,
      pending,
      tls,
      onFull: (podUid) => listeners.refresh(podUid),
    });
    const listeners = new Listeners({
      native,
      sockets: broker,
      ports,
      isOverLimit: (podUid) => proxy.isFull(podUid),
      onConnection: (place, family, fd, client) => proxy.accept(place, family, fd, client),
      onFailure: ({ podUid, cgroup }, error) =>
        log.log("warn", "a pod has no listener: what only a proxy can decide of it is refused", {
          pod: podUid,
          cgroup,
          error: error.message,
        }),
    });
    this.#listeners = listeners;
    this.#proxy = proxy;
    this.#listen();
    this.#closers.push(
      () => pump.close(),
      async () => {
        listeners.close();
        if (proxy.open.size > 0) log.log("info", "draining proxied connections", { open: proxy.open.size });
        await proxy.drain(drainTimeout);
      },
    );
  }

  #listen(): void {
    if (this.#latest === undefined || this.#listeners === undefined) return;
    const current = (uid: string) => this.#listeners?.cookieOf(uid);
    void this.#listeners.want(placesOf(this.#latest, this.#options.cgroupRoot, current));
  }

  /** Never throws: what cannot be decided is denied. */
  #decide(caller: Caller): Told {
    let named: NamedCaller = { identity: unresolved("") };
    try {
      named = this.#parts.narrator.caller(caller.entry.pod);
      return { ...this.#rule(caller, named), named };
    } catch (error) {
      return {
        action: "deny",
        reason: "expression-error",
        error: (error as Error).message,
        named,
        records: [],
      };
    }
  }

  #rule({ entry, podUid, client: { port }, tls }: Caller, named: NamedCaller): Omit<Told, "named"> {
    const { clock, native } = this.#parts;
    // The listener is in one pod's namespace, and the caller another: the evidence contradicts itself.
    if (named.pod !== undefined && named.pod.uid !== podUid)
      return { action: "deny", reason: "identity-mismatch", records: [] };
    if (this.#latest === undefined) return { action: "deny", reason: "pending", records: [] };
    const { dialled } = entry;
    const now = clock.now();
    const way = recallConnection(this.#latest.guardSet, named.identity, dialled, {
      client: { ip: clientIp(named.identity, familyOf(dialled.address)), port },
      start: now - Number((native.bootTime() - entry.time) / 1_000_000n),
      now,
      ...(tls && { tls }),
    });
    return { ...rulingOf(way), records: logOf(way.verdicts) };
  }

  #tell({ caller: { entry }, ruling, error }: Outcome): void {
    const { clock, log, narrator } = this.#parts;
    const suppressed = this.#limit.take(entry.cgroup, entry.guard, clock.now());
    if (suppressed === undefined) return;
    const { named, records } = isTold(ruling) ? ruling : { named: narrator.caller(entry.pod), records: [] };
    log.verdict(
      narrator.tellProxied({
        time: clock.now(),
        caller: named,
        process: { pid: entry.pid, comm: entry.comm },
        dialled: entry.dialled,
        ...(ruling.target && { target: ruling.target }),
        verdict: ruling,
        log: records,
        ...(error !== undefined && { error }),
        suppressed,
      }),
    );
  }

  #attempt(failed: string, attempt: () => void): void {
    try {
      attempt();
    } catch (error) {
      this.#parts.log.log("error", failed, { error: (error as Error).message });
    }
  }
}

function isTold(ruling: Ruling): ruling is Told {
  return "named" in ruling && "records" in ruling;
}
