/** An ordinary server in a pod that listens where the proxy would, and says what reaches it. */
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import type { PodHandle } from "../../lab/pod-handle.ts";

/** A connection that reached it, and the first bytes that came. */
export interface Arrival {
  readonly address: string;
  readonly port: number;
  readonly family: 4 | 6;
  readonly said: string;
}

export interface InPodListener {
  readonly port4: number;
  readonly port6: number;
  /** The next one that has said something. It stays open until answered. */
  arrival(): Promise<Arrival>;
  /** Says `reply` to the client at `port` and ends the connection. */
  answer(arrival: Arrival, reply: string): void;
  stop(): Promise<void>;
}

const SCRIPT = `
const net = require("node:net");
const open = new Map();
const serve = (socket) => {
  const [address, port] = [socket.remoteAddress, socket.remotePort];
  open.set(address + " " + port, socket);
  socket.on("error", () => {});
  socket.once("data", (data) =>
    console.log(JSON.stringify({ address, port, family: address.includes(":") ? 6 : 4, said: String(data) })));
};
const four = net.createServer(serve).listen(0, "127.0.0.1", () => {
  const six = net.createServer(serve).listen({ port: 0, host: "::1", ipv6Only: true }, () =>
    console.log(JSON.stringify({ port4: four.address().port, port6: six.address().port })));
});
require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const { client, reply } = JSON.parse(line);
  open.get(client).end(reply);
}).on("close", () => process.exit());`;

export async function listenIn(pod: PodHandle): Promise<InPodListener> {
  const child: ChildProcess = pod.spawn([process.execPath, "-e", SCRIPT]);
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new Error("listen in a pod: no pipes");
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  const next = async <T>(): Promise<T> => {
    const { value, done } = await lines.next();
    if (done) throw new Error("listen in a pod: the listener ended");
    return JSON.parse(value) as T;
  };
  const ports = await next<{ port4: number; port6: number }>();
  return {
    ...ports,
    arrival: () => next<Arrival>(),
    answer: ({ address, port }, reply) =>
      void stdin.write(`${JSON.stringify({ client: `${address} ${port}`, reply })}\n`),
    stop: async () => {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      stdin.end();
      await ended;
    },
  };
}
