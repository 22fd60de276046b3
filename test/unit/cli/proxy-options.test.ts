import { Command } from "commander";
import { expect, test } from "vitest";
import { type ProxyFlags, proxyOf, proxyOptions } from "../../../agent/cli/proxy-options.ts";

function parsed(...words: readonly string[]) {
  const command = new Command();
  for (const option of proxyOptions()) command.addOption(option);
  return proxyOf(command.parse(words, { from: "user" }).opts<ProxyFlags>());
}

test("connections are idle for as long as they like and drain for ten minutes, unless told otherwise", () => {
  expect(parsed()).toEqual({
    agentDownAfter: 5000,
    handshakeTimeout: 10_000,
    connectTimeout: 10_000,
    idleTimeout: 0,
    drainTimeout: 600_000,
    open: { perPod: 1000, all: 20_000 },
    pending: { perPod: 100, all: 1000 },
    tls: { perPod: 500, all: 2000 },
  });
});

test("each can be told otherwise", () => {
  const times = ["agent-down-after", "tls-handshake-timeout", "connect-timeout", "idle-timeout"];
  const kinds = ["proxy", "proxy-pending", "proxy-tls"];
  const counts = kinds.flatMap((kind) => [`${kind}-per-pod`, `${kind}-in-all`]);
  const words = [
    ...times.flatMap((name, index) => [`--${name}`, `${index + 1}s`]),
    ...counts.flatMap((name, index) => [`--${name}`, `${index + 11}`]),
    ...["--drain-timeout", "0", "--broker-socket", "/run/broker"],
  ];
  expect(parsed(...words)).toEqual({
    brokerSocket: "/run/broker",
    agentDownAfter: 1000,
    handshakeTimeout: 2000,
    connectTimeout: 3000,
    idleTimeout: 4000,
    drainTimeout: 0,
    open: { perPod: 11, all: 12 },
    pending: { perPod: 13, all: 14 },
    tls: { perPod: 15, all: 16 },
  });
});
