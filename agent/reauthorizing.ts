/** Joins re-authorization with the rest of the agent: when it runs, where it reads, what the log says. */
import { ownSockets } from "./dataplane/own-sockets.ts";
import { RedirectTable } from "./dataplane/redirect-table.ts";
import type { KernelMap } from "./dataplane/table.ts";
import type { IdentityReader } from "./identity/pod-identity.ts";
import type { Clock } from "./model/clock.ts";
import type { Narrator } from "./narrate.ts";
import { type ProxiedConnection, Reauthorizer } from "./reauthorize/reauthorizer.ts";
import type { ConnectionTable } from "./reauthorize/tables.ts";
import type { Reconciled } from "./reconcile.ts";
import { Repeater } from "./repeater.ts";
import type { AgentLog } from "./verdict/log.ts";

/** Nothing asks for a look but `learn`, a look itself, and this. */
const LOOK_EVERY_MS = 10_000;

export interface ReauthorizingParts {
  readonly table: ConnectionTable;
  readonly proxied: () => Iterable<ProxiedConnection>;
  readonly maps: Readonly<Record<"redirects" | "forwarded_sockets", KernelMap>>;
  readonly narrator: Narrator;
  readonly identityOf: IdentityReader;
  readonly log: AgentLog;
  readonly clock: Clock;
}

export class Reauthorizing {
  readonly #reauthorizer: Reauthorizer;
  readonly #repeater: Repeater;

  /** `cgroupRoot`: the cgroup that holds the pods' directories. */
  constructor(cgroupRoot: string, parts: ReauthorizingParts) {
    const { table, proxied, maps, narrator, identityOf, log, clock } = parts;
    const redirects = new RedirectTable(maps);
    this.#reauthorizer = new Reauthorizer({
      clock,
      table,
      identityOf,
      cgroupOf: (path) => path.slice(cgroupRoot.length + 1),
      forwarded: () => redirects.forwarded(),
      ownSockets: () => ownSockets(),
      proxied,
      onRevoked: (revoked) => log.verdict(narrator.tellRevoked(revoked)),
    });
    let said = "";
    this.#repeater = new Repeater(clock, LOOK_EVERY_MS, (error) => {
      // Once, however often it is tried again.
      if (error.message === said) return;
      said = error.message;
      log.log("warn", "open connections cannot be looked at: those denied now stay open", {
        error: error.message,
      });
    });
    this.#repeater.start(() => this.#reauthorizer.look());
  }

  learn(latest: Reconciled): void {
    if (this.#reauthorizer.learn(latest)) this.#repeater.again();
  }

  close(): Promise<void> {
    return this.#repeater.stop();
  }
}
