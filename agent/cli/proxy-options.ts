/** The agent's options about its proxy. */
import { Option } from "commander";
import type { AgentOptions } from "../agent.ts";
import { duration, someTime, wholeNumber } from "./options.ts";

export interface ProxyFlags {
  readonly brokerSocket?: string;
  readonly agentDownAfter: number;
  readonly tlsHandshakeTimeout: number;
  readonly connectTimeout: number;
  readonly idleTimeout: number;
  readonly drainTimeout: number;
  readonly proxyPerPod: number;
  readonly proxyInAll: number;
  readonly proxyPendingPerPod: number;
  readonly proxyPendingInAll: number;
  readonly proxyTlsPerPod: number;
  readonly proxyTlsInAll: number;
}

const time = (flags: string, description: string, value: number, text: string, parse = someTime) =>
  new Option(flags, description).argParser(parse).default(value, text);

const count = (flags: string, description: string, value: number) =>
  new Option(flags, description).argParser(wholeNumber).default(value);

export const proxyOptions = (): Option[] => [
  new Option(
    "--broker-socket <path>",
    "where the socket broker listens; without it, what only a proxy can decide is refused",
  ),
  time(
    "--agent-down-after <time>",
    "an agent that gives no sign of life for so long is not waited for",
    5000,
    "5s",
  ),
  time("--tls-handshake-timeout <time>", "how long a client may take for terminate-tls", 10_000, "10s"),
  time("--connect-timeout <time>", "how long the proxy waits for an upstream", 10_000, "10s"),
  time("--idle-timeout <time>", "proxied connections without a byte for so long end", 0, "never", duration),
  time(
    "--drain-timeout <time>",
    "how long proxied connections may go on when the agent stops",
    600_000,
    "10m",
    duration,
  ),
  count("--proxy-per-pod <n>", "proxied connections of one pod", 1000),
  count(
    "--proxy-in-all <n>",
    "proxied connections of all pods, which share them evenly when there are no more",
    20_000,
  ),
  count("--proxy-pending-per-pod <n>", "of those, not connected yet, of one pod", 100),
  count("--proxy-pending-in-all <n>", "of those, not connected yet, of all pods, as above", 1000),
  count("--proxy-tls-per-pod <n>", "of those, with terminate-tls, of one pod", 500),
  count("--proxy-tls-in-all <n>", "of those, with terminate-tls, of all pods, as above", 2000),
];

export function proxyOf(flags: ProxyFlags): AgentOptions["proxy"] {
  const { brokerSocket, agentDownAfter, connectTimeout, idleTimeout, drainTimeout } = flags;
  return {
    ...(brokerSocket !== undefined && { brokerSocket }),
    agentDownAfter,
    handshakeTimeout: flags.tlsHandshakeTimeout,
    connectTimeout,
    idleTimeout,
    drainTimeout,
    open: { perPod: flags.proxyPerPod, all: flags.proxyInAll },
    pending: { perPod: flags.proxyPendingPerPod, all: flags.proxyPendingInAll },
    tls: { perPod: flags.proxyTlsPerPod, all: flags.proxyTlsInAll },
  };
}
