/** What the agent has counted, in Prometheus' text format. Of nobody in particular: no label is what a workload or a user chose. */
import { Counter, Gauge, Registry } from "prom-client";

export interface Counts {
  /** The kernel's, since its maps were made. */
  readonly verdicts: readonly { readonly verdict: string; readonly reason: string; readonly count: number }[];
  /** Verdict lines that were never written: the ring buffer was full, or nobody read the log. */
  readonly lost: { readonly events: number; readonly lines: number };
  /** Undefined: there is no proxy. */
  readonly proxy?: {
    readonly open: { readonly used: number; readonly limit: number };
    readonly pending: { readonly used: number; readonly limit: number };
    readonly tls: { readonly used: number; readonly limit: number };
    readonly refused: ReadonlyMap<string, number>;
  };
}

/** A number for each combination of labels. */
type Samples = readonly (readonly [labels: Readonly<Record<string, string>>, value: number])[];

/** Resolves with the whole page. */
export function metricsPage({ verdicts, lost, proxy }: Counts): Promise<string> {
  const registers = [new Registry()];
  const counter = (name: string, help: string, labelNames: string[], samples: Samples) => {
    const made = new Counter({ name: `podgate_${name}`, help, labelNames, registers });
    for (const [labels, value] of samples) made.inc(labels, value);
  };
  const gauge = (name: string, help: string, value: number) =>
    new Gauge({ name: `podgate_${name}`, help, registers }).set(value);

  counter(
    "verdicts_total",
    "Verdicts of the kernel at connect(). verdict=proxy: left to the proxy.",
    ["verdict", "reason"],
    // Of what is refused a zero is worth a line: an alarm sees the first one.
    verdicts
      .filter(({ verdict, reason, count }) => count > 0 || (verdict === "deny" && reason !== "self"))
      .map(({ verdict, reason, count }) => [{ verdict, reason }, count]),
  );
  counter(
    "events_lost_total",
    "Verdict lines that were never written.",
    ["stage"],
    [
      [{ stage: "ring-buffer" }, lost.events],
      [{ stage: "log" }, lost.lines],
    ],
  );
  if (proxy !== undefined) {
    const { open, pending, tls, refused } = proxy;
    gauge("proxy_connections", "Proxied connections.", open.used);
    gauge("proxy_connections_limit", "At most, of all pods.", open.limit);
    gauge("proxy_connections_pending", "Of those, not connected yet.", pending.used);
    gauge("proxy_connections_pending_limit", "At most, of all pods.", pending.limit);
    gauge("proxy_connections_tls", "Of those, with TLS that ends here.", tls.used);
    gauge("proxy_connections_tls_limit", "At most, of all pods.", tls.limit);
    counter(
      "proxy_refused_total",
      "Connections that the proxy has reset. Most that are over a limit are refused by the kernel: podgate_verdicts_total.",
      ["reason"],
      [...new Map([["over-limit", 0], ...refused])].map(([reason, count]) => [{ reason }, count]),
    );
  }
  return (registers[0] as Registry).metrics();
}
