/** What went wrong between the agent and the API server, said so that somebody can act on it. */
import { isRecord, text } from "./fields.ts";

/** An answer with a status of 400 or more, or an ERROR event of a watch, which carries the same Status object. */
export class ApiError extends Error {
  readonly status: number;
  /** Kubernetes' word, such as "Expired"; "" if the answer had none. */
  readonly reason: string;
  /** How long the server asks to be left alone. */
  readonly retryAfterMs: number;

  constructor(action: string, status: number, body: unknown, retryAfterMs = 0) {
    const reason = isRecord(body) ? (text(body.reason) ?? "") : "";
    const said = isRecord(body) ? text(body.message) : undefined;
    const name = status === 0 ? reason : `${status} ${reason || (statusNames.get(status) ?? "")}`.trim();
    super(`${action}: ${name}: ${advice(action, status, said)}`);
    this.name = "ApiError";
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = Math.max(retryAfterMs, bodyRetryAfterMs(body));
  }

  /** The resource version or the continue token is too old: only a new list helps. */
  get expired(): boolean {
    return this.status === 410 || this.reason === "Expired" || this.reason === "Gone";
  }
}

const statusNames = new Map([
  [400, "Bad Request"],
  [401, "Unauthorized"],
  [403, "Forbidden"],
  [404, "Not Found"],
  [409, "Conflict"],
  [410, "Gone"],
  [422, "Invalid"],
  [429, "Too Many Requests"],
  [500, "Internal Server Error"],
  [503, "Service Unavailable"],
  [504, "Gateway Timeout"],
]);

function advice(action: string, status: number, said: string | undefined): string {
  if (status === 401) return "the API server does not know who asks: check the token or kubeconfig";
  if (status === 403) {
    const [verb, ...resource] = action.split(" ");
    const verbs = verb === "list" || verb === "watch" ? "list and watch" : verb;
    return `give ${whoAsked(said)} ${verbs} on ${resource.join(" ")}`;
  }
  return cut(said ?? "the API server gave no reason", 300);
}

/** The agent's ServiceAccount, or a person with a kubeconfig: the server says whom it took us for. */
function whoAsked(said: string | undefined): string {
  const [, user] = /User "([^"]+)"/.exec(said ?? "") ?? [];
  return user === undefined
    ? "who asks (the agent's ServiceAccount, or the kubeconfig's user)"
    : cut(user, 200);
}

/** Servers' texts may be as long as they like; log lines may not. */
export function cut(message: string, length: number): string {
  return message.length <= length ? message : `${message.slice(0, length - 1)}…`;
}

/** An ERROR event has no headers; its Status says the same in details. */
function bodyRetryAfterMs(body: unknown): number {
  const details = isRecord(body) ? body.details : undefined;
  const seconds = isRecord(details) ? details.retryAfterSeconds : undefined;
  return typeof seconds === "number" && seconds > 0 ? Math.min(seconds * 1000, MAX_RETRY_AFTER_MS) : 0;
}

/** Longer than this nobody stays away because one answer said so. */
const MAX_RETRY_AFTER_MS = 120_000;

/** The header Retry-After, in either of its forms; 0 if there is none that can be read. */
export function retryAfterMs(header: string | undefined, now: number): number {
  if (header === undefined) return 0;
  const wait = /^\d+$/.test(header.trim()) ? Number(header) * 1000 : Date.parse(header) - now;
  return Number.isFinite(wait) && wait > 0 ? Math.min(wait, MAX_RETRY_AFTER_MS) : 0;
}
