/** A plain Kubernetes API client over HTTP: what the lab's own controllers use. */
import { Agent, type IncomingMessage, request } from "node:http";
import { text } from "node:stream/consumers";
import type { KubeObject } from "./kube-objects.ts";

/** The server answered with a status that is not a success. */
export class ApiError extends Error {
  readonly status: number;
  readonly reason: string;

  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export class ApiClient {
  readonly #url: string;
  readonly #token: string | undefined;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 16 });
  /** Watches last; they must not use up the sockets that requests share. */
  readonly #watchAgent = new Agent({ keepAlive: false });

  constructor(url: string, token?: string) {
    this.#url = url;
    this.#token = token;
  }

  get<T extends KubeObject>(path: string): Promise<T> {
    return this.#json("GET", path) as Promise<T>;
  }

  create<T extends KubeObject>(collection: string, object: unknown): Promise<T> {
    return this.#json("POST", collection, object) as Promise<T>;
  }

  replace<T extends KubeObject>(path: string, object: T): Promise<T> {
    return this.#json("PUT", path, object) as Promise<T>;
  }

  /** A JSON merge patch. */
  merge<T extends KubeObject>(path: string, patch: unknown): Promise<T> {
    return this.#json("PATCH", path, patch, "application/merge-patch+json") as Promise<T>;
  }

  /** Server-side apply as `podgate-lab`, taking over fields that others manage. */
  apply<T extends KubeObject>(path: string, object: unknown): Promise<T> {
    const query = "?fieldManager=podgate-lab&force=true";
    return this.#json("PATCH", path + query, object, "application/apply-patch+yaml") as Promise<T>;
  }

  async delete(path: string, options: { uid?: string; gracePeriodSeconds?: number } = {}): Promise<void> {
    const { uid, gracePeriodSeconds } = options;
    await this.#json("DELETE", path, {
      apiVersion: "v1",
      kind: "DeleteOptions",
      ...(gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }),
      ...(uid === undefined ? {} : { preconditions: { uid } }),
    });
  }

  json(path: string): Promise<unknown> {
    return this.#json("GET", path);
  }

  /** An open watch: a stream of JSON lines. */
  async watch(path: string, signal: AbortSignal): Promise<IncomingMessage> {
    const response = await this.#send("GET", path, undefined, "", this.#watchAgent, signal);
    await refuseFailure(response);
    return response;
  }

  close(): void {
    this.#agent.destroy();
    this.#watchAgent.destroy();
  }

  async #json(method: Method, path: string, body?: unknown, type = "application/json"): Promise<unknown> {
    const response = await this.#send(method, path, body, type, this.#agent);
    await refuseFailure(response);
    return JSON.parse(await text(response));
  }

  #send(
    method: Method,
    path: string,
    body: unknown,
    type: string,
    agent: Agent,
    signal?: AbortSignal,
  ): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const text = body === undefined ? "" : JSON.stringify(body);
      const headers = {
        accept: "application/json",
        "user-agent": "podgate-lab",
        ...(this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` }),
        // Said in so many words: Node leaves the length out of a DELETE.
        ...(body === undefined ? {} : { "content-type": type, "content-length": Buffer.byteLength(text) }),
      };
      const options = { method, headers, agent, ...(signal === undefined ? {} : { signal }) };
      const outgoing = request(new URL(path, this.#url), options, resolve);
      outgoing.on("error", (cause) => reject(new Error(`${method} ${path}: ${cause.message}`, { cause })));
      outgoing.end(text);
    });
  }
}

async function refuseFailure(response: IncomingMessage): Promise<void> {
  const status = response.statusCode ?? 0;
  if (status >= 200 && status < 300) return;
  const body = await text(response);
  const { reason, message } = parsedStatus(body);
  throw new ApiError(status, reason, message);
}

function parsedStatus(body: string): { reason: string; message: string } {
  try {
    const { reason = "", message = body } = JSON.parse(body) as { reason?: string; message?: string };
    return { reason, message };
  } catch {
    return { reason: "", message: body };
  }
}

export function isStatus(error: unknown, ...statuses: readonly number[]): boolean {
  return error instanceof ApiError && statuses.includes(error.status);
}
