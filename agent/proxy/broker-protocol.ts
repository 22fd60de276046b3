/**
 * What agent and broker say to each other: one JSON object a message, descriptors beside it. Each side takes nothing on
 * trust from the other; neither ever throws about what it read.
 */
import type { TcpConnection, TcpEnd } from "../dataplane/native.ts";

/** A network namespace, and where to look for a process that is in it. */
export interface Place {
  /** Of the pod, relative to the pods' cgroup, without `.` or `..`. */
  readonly cgroup: string;
  /** SO_NETNS_COOKIE of the namespace. */
  readonly cookie: bigint;
}

/** The agent lives, and counts as one that does for `agentDownAfter` ms; what waits for it then is ended. */
export interface Beat {
  readonly id: number;
  readonly op: "beat";
  readonly agentDownAfter: number;
}

/** For the next piece of an answer to "connections", whose `id` is `of`. */
export interface More {
  readonly id: number;
  readonly op: "more";
  readonly of: number;
}

/** `id` names the request in its answer; whole, from 0. "watch": the agent has sockets there, made by a former broker. */
export type PlacedRequest = { readonly id: number } & Place &
  (
    | { readonly op: "listen" }
    | { readonly op: "watch" }
    | { readonly op: "sockets"; readonly family: 4 | 6; readonly count: number }
    /** Those whose remote end may be one of that sieve's, or all. */
    | { readonly op: "connections"; readonly remote?: Uint8Array }
    | { readonly op: "destroy"; readonly connections: readonly TcpConnection[] }
  );

export type Request = Beat | More | PlacedRequest;

export type Answer = { readonly id: number } & (
  | { readonly error: string }
  /** Descriptors: the listener of 127.0.0.1, then that of ::1 if there is one. */
  | { readonly port4: number; readonly port6?: number }
  /** A piece, perhaps empty. Whether to ask for more. */
  | { readonly connections: readonly TcpConnection[]; readonly more: boolean }
  | { readonly destroyed: number }
  /** As many descriptors as were asked for. */
  | { readonly sockets: true }
  /** Of a beat and of "watch". */
  | { readonly heard: true }
);

/** Each takes 170 bytes at most, and a message has room for 64 KiB. A piece of a listing has no more. */
export const CONNECTIONS_PER_MESSAGE = 256;
/** As many descriptors as a channel takes. */
export const SOCKETS_PER_MESSAGE = 32;
const LONGEST_PATH = 1024;
const LONGEST_ERROR = 1024;
/** Of a sieve of 32 KiB in base64; that it is one, the addon sees. */
const LONGEST_SIEVE = 44_000;
/** A day, in ms: what a timer can surely do. */
const LONGEST_TIME = 86_400_000;

export function encodeRequest(request: Request): Buffer {
  if (request.op === "beat" || request.op === "more") return Buffer.from(JSON.stringify(request));
  // Field by field: a place may come with more, and the broker takes no more.
  const { id, op, cgroup, cookie } = request;
  return Buffer.from(
    JSON.stringify({
      id,
      op,
      cgroup,
      cookie: String(cookie),
      ...(request.op === "sockets" && { family: request.family, count: request.count }),
      ...(request.op === "connections" &&
        request.remote && { remote: Buffer.from(request.remote).toString("base64") }),
      ...(request.op === "destroy" && { connections: request.connections.map(pack) }),
    }),
  );
}

export function encodeAnswer(answer: Answer): Buffer {
  if ("connections" in answer) {
    return Buffer.from(JSON.stringify({ ...answer, connections: answer.connections.map(pack) }));
  }
  if ("error" in answer)
    return Buffer.from(JSON.stringify({ ...answer, error: answer.error.slice(0, LONGEST_ERROR) }));
  return Buffer.from(JSON.stringify(answer));
}

/** Who cannot be served. `id` is undefined where none can be made out: there is nobody to answer then. */
interface Fault {
  readonly id: number | undefined;
  readonly error: string;
}

/** What the broker received. */
export function decodeRequest(message: Buffer): Request | Fault {
  const value = parsed(message);
  const id = count(value?.id);
  if (value === undefined || id === undefined)
    return { id: undefined, error: "read a request: no object with an id" };
  const request = requestOf(id, value);
  return typeof request === "string" ? { id, error: `read a request: ${request}` } : request;
}

/** What is in a request beside id and op. */
const FIELDS: Readonly<Record<Request["op"], readonly string[]>> = {
  beat: ["agentDownAfter"],
  more: ["of"],
  listen: ["cgroup", "cookie"],
  watch: ["cgroup", "cookie"],
  sockets: ["cgroup", "cookie", "family", "count"],
  connections: ["cgroup", "cookie", "remote"],
  destroy: ["cgroup", "cookie", "connections"],
};

/** A text says what is wrong. */
function requestOf(id: number, value: Readonly<Record<string, unknown>>): Request | string {
  const op = (Object.keys(FIELDS) as Request["op"][]).find((each) => each === value.op);
  if (op === undefined) return `op is none of ${Object.keys(FIELDS).join(", ")}`;
  const surplus = Object.keys(value).find((key) => !["id", "op", ...FIELDS[op]].includes(key));
  if (surplus !== undefined) return `it has a field that ${op} does not take`;
  if (op === "beat") {
    const agentDownAfter = count(value.agentDownAfter) ?? 0;
    const isTime = agentDownAfter > 0 && agentDownAfter <= LONGEST_TIME;
    return isTime ? { id, op, agentDownAfter } : "a beat says how long it counts, in ms";
  }
  if (op === "more") {
    const of = count(value.of);
    return of === undefined ? "more says of which listing" : { id, op, of };
  }
  const { cgroup } = value;
  if (typeof cgroup !== "string" || !isPathBelow(cgroup)) return "cgroup is no path below the pods' cgroup";
  const cookie = unsigned64(value.cookie);
  if (cookie === undefined || cookie === 0n) return "cookie is no namespace's";
  return placedRequest(op, { id, cgroup, cookie }, value);
}

function placedRequest(
  op: PlacedRequest["op"],
  place: { readonly id: number } & Place,
  value: Readonly<Record<string, unknown>>,
): PlacedRequest | string {
  switch (op) {
    case "listen":
    case "watch":
      return { ...place, op };
    case "sockets": {
      const { family } = value;
      if (family !== 4 && family !== 6) return "family is neither 4 nor 6";
      const number = count(value.count) ?? 0;
      return number >= 1 && number <= SOCKETS_PER_MESSAGE
        ? { ...place, op, family, count: number }
        : `count is not from 1 to ${SOCKETS_PER_MESSAGE}`;
    }
    case "connections": {
      const { remote } = value;
      if (remote === undefined) return { ...place, op };
      return typeof remote === "string" && remote.length <= LONGEST_SIEVE
        ? { ...place, op, remote: Buffer.from(remote, "base64") }
        : "remote is no sieve";
    }
    case "destroy": {
      const connections = unpackAll(value.connections);
      return connections === undefined
        ? "connections is no list of connections"
        : { ...place, op, connections };
    }
  }
}

/** What the agent received; undefined if it is no answer. */
export function decodeAnswer(message: Buffer): Answer | undefined {
  const value = parsed(message);
  const id = count(value?.id);
  if (value === undefined || id === undefined) return undefined;
  if (typeof value.error === "string") return { id, error: value.error };
  if (value.sockets === true) return { id, sockets: true };
  if (value.heard === true) return { id, heard: true };
  if (value.port4 !== undefined) {
    const [port4, port6] = [portOf(value.port4), portOf(value.port6)];
    if (port4 === undefined || (value.port6 !== undefined && port6 === undefined)) return undefined;
    return { id, port4, ...(port6 !== undefined && { port6 }) };
  }
  if (value.connections !== undefined) {
    const connections = unpackAll(value.connections);
    return connections && { id, connections, more: value.more === true };
  }
  const destroyed = count(value.destroyed);
  return destroyed === undefined ? undefined : { id, destroyed };
}

/** Whether it names something below the directory it is relative to, by its text alone. */
export function isPathBelow(path: string): boolean {
  return (
    path.length <= LONGEST_PATH &&
    !path.includes("\0") &&
    path.split("/").every((part) => part !== "" && part !== "." && part !== "..")
  );
}

function pack(connection: TcpConnection): unknown[] {
  const { family, state, local, remote, interfaceIndex, cookie, inode, uid, beyondPayload } = connection;
  const end = ({ address, port }: TcpEnd) => [Buffer.from(address).toString("hex"), port];
  const names = [interfaceIndex, String(cookie), String(inode), uid];
  return [family, state, ...end(local), ...end(remote), ...names, beyondPayload];
}

function unpackAll(value: unknown): readonly TcpConnection[] | undefined {
  if (!Array.isArray(value) || value.length > CONNECTIONS_PER_MESSAGE) return undefined;
  const connections = value.map(unpack);
  return connections.every((connection) => connection !== undefined) ? connections : undefined;
}

function unpack(value: unknown): TcpConnection | undefined {
  if (!Array.isArray(value) || value.length !== 11) return undefined;
  const [family, state, localAddress, localPort, remoteAddress, remotePort, ...rest] = value as unknown[];
  const [local, remote] = [end(localAddress, localPort), end(remoteAddress, remotePort)];
  const [interfaceIndex, cookie, inode] = [count(rest[0]), unsigned64(rest[1]), unsigned64(rest[2])];
  const uid = count(rest[3]);
  const isTcp = (family === 4 || family === 6) && typeof state === "number" && Number.isInteger(state);
  if (!isTcp || state < 0 || state > 255 || local === undefined || remote === undefined) return undefined;
  const beyondPayload = rest[4];
  if (cookie === undefined || inode === undefined) return undefined;
  if (interfaceIndex === undefined || uid === undefined) return undefined;
  if (typeof beyondPayload !== "number" || !Number.isSafeInteger(beyondPayload)) return undefined;
  return { family, state, local, remote, interfaceIndex, cookie, inode, uid, beyondPayload };
}

function end(address: unknown, port: unknown): TcpEnd | undefined {
  if (typeof address !== "string" || !/^[0-9a-f]{32}$/.test(address)) return undefined;
  const number = port === 0 ? 0 : portOf(port);
  return number === undefined ? undefined : { address: Buffer.from(address, "hex"), port: number };
}

function parsed(message: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(message.toString("utf8"));
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function count(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

function portOf(value: unknown): number | undefined {
  const port = count(value);
  return port !== undefined && port > 0 && port < 65536 ? port : undefined;
}

function unsigned64(value: unknown): bigint | undefined {
  if (typeof value !== "string" || !/^(0|[1-9]\d{0,19})$/.test(value)) return undefined;
  const number = BigInt(value);
  return number < 1n << 64n ? number : undefined;
}
