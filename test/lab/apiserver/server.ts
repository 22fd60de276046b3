/**
 * A Kubernetes API server for the lab and for tests: real HTTP, everything in memory, faults on demand. kubectl,
 * the agent's reflectors and the lab's kubelet are its clients.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { clusterBasics } from "./basics.ts";
import { Faults } from "./faults.ts";
import { type HandlerContext, handle } from "./handlers.ts";
import { kubeconfig } from "./kubeconfig.ts";
import type { LogSource } from "./logs.ts";
import { sendError } from "./respond.ts";
import { Store } from "./store.ts";
import type { WatchStream } from "./watch-stream.ts";

export interface ApiServerOptions {
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free port. */
  readonly port?: number;
  /** A pod's log; undefined where there is none. */
  readonly logs?: LogSource;
  /** Seconds between bookmarks on a watch; default 60. */
  readonly bookmarkSeconds?: number;
  /** Changes remembered for watches; default 10,000. */
  readonly historySize?: number;
  /** Ranges of cluster IPs, one of a family; the first is the default. Default 10.96.0.0/16 and fd00:10:96::/112. */
  readonly serviceCidrs?: readonly string[];
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Owns its listening socket and every connection to it. */
export interface ApiServer {
  readonly url: string;
  readonly store: Store;
  readonly faults: Faults;
  /** YAML for kubectl and for KubeConfig. */
  kubeconfig(): string;
  /** Ends every watch and connection. Safe to call twice. */
  close(): Promise<void>;
}

export async function startApiServer(options: ApiServerOptions = {}): Promise<ApiServer> {
  const store = new Store(options);
  const streams = new Set<WatchStream>();
  const faults = new Faults(store, streams);
  clusterBasics(store);
  const context: HandlerContext = {
    store,
    faults,
    streams,
    logs: options.logs,
    watch: { bookmarkSeconds: options.bookmarkSeconds ?? 60 },
  };
  const server = createServer((request, response) => void answer(context, request, response));
  server.on("connection", (socket: Socket) => {
    if (faults.takeConnection()) socket.resetAndDestroy();
  });
  // A client that leaves halfway is no event here; its request fails on its own.
  server.on("clientError", (_error, socket) => socket.destroy());
  server.keepAliveTimeout = 60_000;
  const url = await listen(server, options.host ?? "127.0.0.1", options.port ?? 0);
  return { url, store, faults, kubeconfig: () => kubeconfig(url), close: () => close(server) };
}

async function answer(
  context: HandlerContext,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    await handle(context, request, response);
  } catch (error) {
    sendError(response, error);
  }
}

async function listen(server: Server, host: string, port: number): Promise<string> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const { address, family, port: bound } = server.address() as AddressInfo;
  return `http://${family === "IPv6" ? `[${address}]` : address}:${bound}`;
}

async function close(server: Server): Promise<void> {
  if (!server.listening) return;
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
}
