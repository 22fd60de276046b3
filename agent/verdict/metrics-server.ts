/** GET /metrics over HTTP, and nothing else: nobody can ask for more, send anything, stay, or be in another's way. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";

const MOST_CONNECTIONS = 16;
const HEADER_BYTES = 8192;
/** For a request to arrive whole, and for its answer to be read. */
const LONGEST_MS = 5000;
const TEXT = { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" };

export interface MetricsAddress {
  /** An IP address. */
  readonly host: string;
  readonly port: number;
}

/**
 * Serves what `page` resolves with until `close`. `onError`: it does not serve, because the address is taken or not this
 * machine's.
 */
export function serveMetrics(
  { host, port }: MetricsAddress,
  page: () => Promise<string>,
  onError: (error: Error) => void,
): { close(): void } {
  const serve = (request: IncomingMessage, response: ServerResponse) => void answer(request, response, page);
  const server = createServer(
    {
      maxHeaderSize: HEADER_BYTES,
      headersTimeout: LONGEST_MS,
      requestTimeout: LONGEST_MS,
      connectionsCheckingInterval: LONGEST_MS / 5,
    },
    serve,
  );
  // Else Node.js asks for the body before anything is said here.
  server.on("checkContinue", serve);
  const open = new Set<Socket>();
  server.on("connection", (socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    if (open.size > MOST_CONNECTIONS) giveWay(open);
  });
  server.setTimeout(LONGEST_MS);
  server.on("error", onError);
  server.listen({ host, port });
  return {
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Ends, of whoever has the most, the one that came first: no address takes another's place, nor keeps a new one out. */
function giveWay(open: Set<Socket>): void {
  const byAddress = Object.values(Object.groupBy(open, ({ remoteAddress = "" }) => remoteAddress));
  const [most] = byAddress.sort((one = [], other = []) => other.length - one.length);
  for (const socket of most?.slice(0, 1) ?? []) {
    open.delete(socket);
    socket.destroy();
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  page: () => Promise<string>,
): Promise<void> {
  const end = (status: number, headers: Record<string, string> = {}, body = "") =>
    response.writeHead(status, { ...headers, Connection: "close" }).end(body);
  const { headers, method, url = "" } = request;
  if (url.split("?")[0] !== "/metrics") return void end(404);
  if (method !== "GET") return void end(405, { Allow: "GET" });
  if ("transfer-encoding" in headers || (headers["content-length"] ?? "0") !== "0") return void end(413);
  try {
    end(200, TEXT, await page());
  } catch {
    end(500);
  }
}
