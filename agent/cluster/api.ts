/** HTTP to the API server: one JSON document, or a stream of lines. No retries: who asks decides about those. */
import type { IncomingMessage } from "node:http";
import { request as httpRequest } from "node:http";
import { Agent, request as httpsRequest, type RequestOptions } from "node:https";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import type { Clock } from "../model/clock.ts";
import type { Access } from "./access.ts";
import { ApiError, retryAfterMs } from "./api-error.ts";
import { Lines } from "./lines.ts";

export interface ApiRequest {
  /** For messages: "list pods". */
  readonly action: string;
  readonly path: string;
  readonly method?: "GET" | "PUT";
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

/** One page of 500 large objects is a few MB; this only bounds what a broken server can make the agent hold. */
const MAX_BODY = 256 << 20;
const unzip = promisify(gunzip);

export class Api {
  readonly #access: Access;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  /** Sessions are resumed, connections are not kept: a kept one is reset when the server closes it first. */
  readonly #agent = new Agent({ keepAlive: false });

  /** `timeoutMs`: for a whole JSON document, and for the first byte of a stream. */
  constructor(access: Access, clock: Clock, timeoutMs = 60_000) {
    this.#access = access;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
  }

  /** Asks, and reads the whole answer. */
  async json(request: ApiRequest): Promise<unknown> {
    return withDeadline(request, this.#timeoutMs, async (signal) => {
      const response = await this.#open(request, signal, { "accept-encoding": "gzip" });
      const body = await readBody(response, MAX_BODY);
      try {
        return JSON.parse(body);
      } catch (cause) {
        throw new Error(`${request.action}: the answer is not JSON: look for a proxy in between`, { cause });
      }
    });
  }

  /** Calls `onLine` for every line until the server ends the stream. Rejects when it breaks or `signal` aborts. */
  async lines(request: ApiRequest, onLine: (line: string) => void, onBytes: () => void): Promise<void> {
    const stop = new AbortController();
    const abort = () => stop.abort(request.signal?.reason);
    request.signal?.addEventListener("abort", abort);
    if (request.signal?.aborted) abort();
    try {
      const response = await withDeadline({ ...request, signal: stop.signal }, this.#timeoutMs, () =>
        this.#open(request, stop.signal, {}),
      );
      onBytes();
      const lines = new Lines();
      for await (const chunk of response) {
        onBytes();
        for (const line of lines.push(chunk as Buffer)) {
          // One chunk holds many lines, and the first may have ended the watch.
          if (stop.signal.aborted) throw stop.signal.reason;
          onLine(line);
        }
      }
    } catch (cause) {
      throw explain(request.action, cause);
    } finally {
      // Whatever ended it, no half-open connection stays behind.
      stop.abort();
      request.signal?.removeEventListener("abort", abort);
    }
  }

  async #open(request: ApiRequest, signal: AbortSignal, headers: Record<string, string>) {
    const access = await this.#access.options();
    signal.throwIfAborted();
    const response = await send(this.#access.server, this.#agent, request, signal, {
      ...access,
      headers: { ...access.headers, accept: "application/json", "user-agent": "podgate-agent", ...headers },
    });
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return response;
    if (status === 401) this.#access.invalidate();
    const body = await readBody(response, 1 << 20).catch(() => "");
    const wait = retryAfterMs(response.headers["retry-after"], this.#clock.now());
    throw new ApiError(request.action, status, parsedOr(body), wait);
  }
}

function send(
  server: URL,
  agent: Agent,
  { method = "GET", path, query, body }: ApiRequest,
  signal: AbortSignal,
  options: RequestOptions,
): Promise<IncomingMessage> {
  const url = new URL(server.pathname.replace(/\/$/, "") + path, server);
  for (const [key, value] of Object.entries(query ?? {})) url.searchParams.set(key, value);
  const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const headers = {
    ...options.headers,
    ...(payload && { "content-type": "application/json", "content-length": payload.length }),
  };
  return new Promise((resolve, reject) => {
    const all = { ...options, method, headers, signal };
    const request =
      url.protocol === "http:"
        ? httpRequest(url, { agent: false, ...all })
        : httpsRequest(url, { agent, ...all });
    request.on("response", resolve);
    request.on("error", reject);
    // A peer that vanished without a FIN is found by the kernel; the watchdog is the second net.
    request.on("socket", (socket) => socket.setKeepAlive(true, 30_000));
    request.end(payload);
  });
}

async function readBody(response: IncomingMessage, most: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response) {
    length += (chunk as Buffer).length;
    if (length > most) throw new Error(`the answer is longer than ${most} bytes`);
    chunks.push(chunk as Buffer);
  }
  const body = Buffer.concat(chunks);
  const zipped = response.headers["content-encoding"] === "gzip";
  return (zipped ? await unzip(body, { maxOutputLength: most }) : body).toString("utf8");
}

/** Runs `work` with a signal that aborts with the request's own or after `ms`. */
async function withDeadline<T>(
  request: ApiRequest,
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const late = () =>
    controller.abort(
      new Error(`${request.action}: no answer within ${ms} ms: check the way to the API server`),
    );
  const abort = () => controller.abort(request.signal?.reason);
  const timer = setTimeout(late, ms);
  request.signal?.addEventListener("abort", abort);
  if (request.signal?.aborted) abort();
  // `work` may hang before it reaches the network, in a credential plugin, where no signal reaches it.
  const aborted = new Promise<never>((_, reject) => {
    controller.signal.addEventListener("abort", () => reject(controller.signal.reason));
  });
  try {
    return await Promise.race([work(controller.signal), aborted]);
  } catch (cause) {
    throw explain(request.action, controller.signal.aborted ? controller.signal.reason : cause);
  } finally {
    clearTimeout(timer);
    request.signal?.removeEventListener("abort", abort);
  }
}

/** Puts the action before errors that come from below it; those of the API and of deadlines have it already. */
function explain(action: string, cause: unknown): unknown {
  if (!(cause instanceof Error) || cause.name === "AbortError") return cause;
  if (cause.message.startsWith(`${action}:`)) return cause;
  const { code } = cause as NodeJS.ErrnoException;
  const what =
    code === undefined || cause.message.includes(code) ? cause.message : `${code}: ${cause.message}`;
  return Object.assign(new Error(`${action}: ${what}`, { cause }), code === undefined ? {} : { code });
}

function parsedOr(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    // Proxies answer in HTML; the status says enough.
    return undefined;
  }
}
