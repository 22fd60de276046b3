/**
 * Lets programs in the node's namespace reach the API server at the address that programs outside use. A helper
 * enters the namespace, listens on the same loopback port there and hands the listening socket over: a socket
 * stays in the namespace it was made in, whoever holds it.
 */
import { spawn } from "node:child_process";
import { connect, createServer, type Server, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { inNetns } from "./node.ts";

/** Owns the listening socket and what it accepted. */
export interface NodeListener {
  close(): Promise<void>;
}

export async function listenInNode(nodeNetns: string, port: number): Promise<NodeListener> {
  const server = await receiveServer(nodeNetns, port);
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    relay(socket, connect({ host: "127.0.0.1", port, allowHalfOpen: true }), sockets);
  });
  return {
    close: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}

function relay(near: Socket, far: Socket, sockets: Set<Socket>): void {
  for (const [from, to] of [
    [near, far],
    [far, near],
  ] as const) {
    sockets.add(from);
    from.setNoDelay(true);
    from.on("error", () => to.resetAndDestroy());
    from.on("close", () => {
      sockets.delete(from);
      to.destroySoon();
    });
    from.pipe(to);
  }
}

function receiveServer(nodeNetns: string, port: number): Promise<Server> {
  const self = fileURLToPath(import.meta.url);
  const [program = "", ...args] = inNetns(nodeNetns, [process.execPath, self, String(port)]);
  const helper = spawn(program, args, { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  return new Promise((resolve, reject) => {
    helper.on("error", reject);
    helper.on("exit", (code) =>
      reject(new Error(`listen on port ${port} of the node: helper exit status ${code}`)),
    );
    helper.on("message", (_, handle) => resolve(handle as Server));
  });
}

/** The helper's part. */
function handOver(port: number): void {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  server.listen({ host: "127.0.0.1", port }, () => {
    process.send?.("listening", server, {}, () => process.exit(0));
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) handOver(Number(process.argv[2]));
