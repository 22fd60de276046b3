/** An application as pods have them, made of Node.js's own sockets, and a server for it to dial. */
import { createServer } from "node:net";
import { expect, onTestFinished } from "vitest";
import type { Netns, TcpConnection } from "../../agent/dataplane/native.ts";
import type { Application, Namespace } from "./namespace.ts";

/** `cgroup`: the directory of the one that it runs in, if that is another than ours. */
export function startDialler(namespace: Namespace, cgroup?: string): Application {
  const argv = [process.execPath, "-e", DIALLER];
  const enter = 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"';
  return namespace.start(...(cgroup === undefined ? argv : ["sh", "-c", enter, "sh", cgroup, ...argv]));
}

/** Makes it connect. `localPort` 0: the kernel chooses. `id` is for its other verbs. */
export async function dial(app: Application, host: string, port: number, localPort = 0) {
  const id = Math.random().toString(36).slice(2);
  return { id, localPort: Number(await app.ask(`dial ${id} ${host} ${port} ${localPort}`)) };
}

/** Starts an echo server on loopback inside, which ends with the test. Returns its port. */
export function echo(netns: Netns, family: 4 | 6): number {
  const { fd, port } = netns.listen(family, 512);
  const server = createServer((socket) => socket.on("error", () => {}).pipe(socket));
  server.listen({ fd });
  onTestFinished(() => void server.close());
  return port;
}

/** The connection, of which there must be one. */
export function only(connections: TcpConnection[]): TcpConnection {
  expect(connections).toHaveLength(1);
  return connections[0] as TcpConnection;
}

const DIALLER = `
const net = require("node:net");
const sockets = new Map();
const say = (text) => process.stdout.write(text + "\\n");
const verbs = {
  // The answer is the local port, or an error's code.
  dial(id, host, port, localPort) {
    const socket = net.connect({ host, port: Number(port), localPort: Number(localPort) || undefined });
    sockets.set(id, socket);
    socket.fate = new Promise((resolve) => {
      socket.on("error", (error) => resolve(error.code));
      socket.on("end", () => resolve("end"));
    });
    const connected = new Promise((resolve) => socket.once("connect", () => resolve(String(socket.localPort))));
    Promise.race([connected, socket.fate]).then(say);
  },
  // What comes back.
  ping(id) {
    const socket = sockets.get(id);
    socket.once("data", (data) => say(String(data)));
    socket.write("ping " + id);
  },
  // How it ended, when it has.
  fate(id) { sockets.get(id).fate.then(say); },
  // Ends it without TIME_WAIT.
  reset(id) { sockets.get(id).resetAndDestroy(); say("reset"); },
};
require("node:readline").createInterface({ input: process.stdin })
  .on("line", (line) => { const [verb, ...rest] = line.split(" "); verbs[verb](...rest); })
  .on("close", () => process.exit(0));
`;
