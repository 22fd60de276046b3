/**
 * The other half of bpf/abi.h: where every field of a shared struct is, and how it is written and read. A test
 * compares `layouts` with the BTF of the built object. Little-endian hosts only; ports are in network order.
 */
import { addressBytes, formatAddress, type IpAddress } from "../model/address.ts";
import type { Action, Reason } from "../model/verdict.ts";

/** Struct name -> its size and the offset of every member, in bytes. */
export const layouts = {
  destination_key: { size: 24, address: 0, port: 16, protocol: 18, pad: 19 },
  node_port_key: { size: 4, port: 0, protocol: 2, is_ipv6: 3 },
  guard: { size: 12, number: 0, version: 4, flags: 8 },
  verdict_key: { size: 8, version: 0, subject: 4 },
  verdict: {
    size: 32,
    guard: 0,
    version: 4,
    subject: 8,
    policy: 12,
    forward: 16,
    audited_policy: 20,
    rule: 24,
    audited_rule: 26,
    action: 28,
    reason: 29,
    audited_action: 30,
    audited_reason: 31,
  },
  pod_ref: { size: 24, pod: 0, namespace_number: 4, flags: 8, cgroup: 12, netns_cookie: 16 },
  pod: { size: 112, uid: 0, namespace_number: 40, flags: 44, addresses: 48 },
  forward_key: { size: 8, forward: 0, family: 4 },
  forward: { size: 20, address: 0, port: 16, pad: 18 },
  event: {
    size: 112,
    time: 0,
    cgroup: 8,
    netns_cookie: 16,
    pod: 24,
    guard: 28,
    pid: 32,
    policy: 36,
    audited_policy: 40,
    suppressed: 44,
    dialled: 48,
    target: 64,
    dialled_port: 80,
    target_port: 82,
    rule: 84,
    audited_rule: 86,
    action: 88,
    reason: 89,
    audited_action: 90,
    audited_reason: 91,
    layer: 92,
    pad: 93,
    comm: 96,
  },
  counters: { size: 3080, verdicts: 0, recents: 1024, lost: 3072 },
  listener: { size: 8, port4: 0, port6: 2, slot: 4 },
  agent_state: { size: 24, heartbeat: 0, cgroup: 8, timeout_ns: 16 },
  redirect_key: { size: 32, netns_cookie: 0, source: 8, port: 24, family: 26, pad: 27 },
  redirect: {
    size: 120,
    time: 0,
    cgroup: 8,
    netns_cookie: 16,
    socket: 24,
    dialled: 32,
    target: 48,
    source: 64,
    pod: 80,
    guard: 84,
    pid: 88,
    dialled_port: 92,
    target_port: 94,
    action: 96,
    layer: 97,
    family: 98,
    pad: 99,
    comm: 104,
  },
  task_netns: { size: 32, netns_cookie: 0, child: 8, grandchild: 16, root_level: 24, pad: 28 },
} as const;

const PROTOCOL_TCP = 6;
export const NO_RULE = 0xffff;
export const GUARD_PER_POD = 1;
export const POD_OVERSIZED = 1;
export const POD_ADDRESSES = 4;
export const UID_BYTES = 40;
export const COUNTER_REASONS = 16;
export const COUNTER_SLOTS = 128;
export const ON_AGENT_DOWN_ALLOW = 1;
const COMM_BYTES = 16;

/** Whom a verdict is about: one of these, plus the number of the namespace or pod, which is below 2^30. */
export const SUBJECT_UNRESOLVED = 0x40000000;
export const SUBJECT_NAMESPACE = 0x80000000;
export const SUBJECT_POD = 0xc0000000;

const actions: readonly (Action | undefined)[] = [undefined, "allow", "deny", "forward", "proxy"];

/** "self" exists only in counters: a pod that dials itself has no verdict line. */
const reasons: readonly (Reason | "self" | undefined)[] = [
  undefined,
  "rule",
  "fell-through",
  "expression-error",
  "policy-invalid",
  "target-not-found",
  "target-not-routable",
  "conflict",
  "loop",
  "identity-mismatch",
  "pending",
  "agent-down",
  "over-limit",
  "spoofed-source",
  "revoked",
  "self",
];

export function actionNumber(action: Action): number {
  return actions.indexOf(action);
}

export function reasonNumber(reason: Reason): number {
  return reasons.indexOf(reason);
}

/** Undefined for a number that is no action: a corrupt entry, which the kernel refuses too. */
export function actionOf(number: number): Action | undefined {
  return actions[number];
}

export function reasonOf(number: number): Reason | "self" | undefined {
  return reasons[number];
}

/** The hook that saw a connection. */
export type Layer = "connect4" | "connect6";

export function layerOf(number: number): Layer {
  return number === 1 ? "connect4" : "connect6";
}

/** @throws RangeError if `address` is no IP address. */
export function encodeAddress(address: IpAddress): Uint8Array {
  const bytes = addressBytes(address);
  if (bytes === undefined) throw new RangeError(`encode address \`${address}\`: not an IP address`);
  return bytes;
}

export function encodeDestination(address: IpAddress, port: number): Buffer {
  const { size, port: portAt, protocol } = layouts.destination_key;
  const key = Buffer.alloc(size);
  key.set(encodeAddress(address), 0);
  key.writeUInt16BE(port, portAt);
  key.writeUInt8(PROTOCOL_TCP, protocol);
  return key;
}

export function encodeNodePort({ port, family }: { port: number; family: 4 | 6 }): Buffer {
  const { size, port: portAt, protocol, is_ipv6 } = layouts.node_port_key;
  const key = Buffer.alloc(size);
  key.writeUInt16BE(port, portAt);
  key.writeUInt8(PROTOCOL_TCP, protocol);
  key.writeUInt8(family === 6 ? 1 : 0, is_ipv6);
  return key;
}

export function encodeU32(...numbers: number[]): Buffer {
  const buffer = Buffer.alloc(4 * numbers.length);
  for (const [index, number] of numbers.entries()) buffer.writeUInt32LE(number, 4 * index);
  return buffer;
}

export function encodeU64(number: bigint): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(number);
  return buffer;
}

/** A verdict as the map holds it. `forward` is a number of `forwards`, 0 unless the action is "forward". */
export interface VerdictEntry {
  readonly action: Action;
  readonly reason: Reason;
  readonly policy: number;
  readonly rule: number;
  readonly forward: number;
  /** Of action "proxy": without an agent to ask, the connection is allowed. */
  readonly onAgentDown?: "allow" | undefined;
  readonly auditedAction: Action | undefined;
  readonly auditedReason: Reason | undefined;
  readonly auditedPolicy: number;
  readonly auditedRule: number;
}

/** Without the first three members, which say whose it is. */
export function encodeVerdict(verdict: VerdictEntry): Buffer {
  const at = layouts.verdict;
  const value = Buffer.alloc(at.size);
  value.writeUInt32LE(verdict.policy, at.policy);
  value.writeUInt32LE(forwardField(verdict), at.forward);
  value.writeUInt32LE(verdict.auditedPolicy, at.audited_policy);
  value.writeUInt16LE(verdict.rule, at.rule);
  value.writeUInt16LE(verdict.auditedRule, at.audited_rule);
  value.writeUInt8(actionNumber(verdict.action), at.action);
  value.writeUInt8(reasonNumber(verdict.reason), at.reason);
  value.writeUInt8(verdict.auditedAction ? actionNumber(verdict.auditedAction) : 0, at.audited_action);
  value.writeUInt8(verdict.auditedReason ? reasonNumber(verdict.auditedReason) : 0, at.audited_reason);
  return value;
}

function forwardField({ action, forward, onAgentDown }: VerdictEntry): number {
  return action === "proxy" ? (onAgentDown === "allow" ? ON_AGENT_DOWN_ALLOW : 0) : forward;
}

/** The number of `forwards` that a verdict names, 0 if none. `bytes`: a verdict's, less the first `skipped`. */
export function forwardNumber(bytes: Buffer, skipped = 0): number {
  const at = layouts.verdict;
  const forwards = actionOf(bytes.readUInt8(at.action - skipped)) === "forward";
  return forwards ? bytes.readUInt32LE(at.forward - skipped) : 0;
}

export interface PodEntry {
  readonly uid: string;
  readonly namespaceNumber: number;
  readonly flags: number;
  readonly addresses: readonly IpAddress[];
}

/** @throws RangeError if the UID does not fit: such a pod must stay unresolved. */
export function encodePod(pod: PodEntry): Buffer {
  const at = layouts.pod;
  const value = Buffer.alloc(at.size);
  if (Buffer.byteLength(pod.uid) > UID_BYTES)
    throw new RangeError(`encode pod \`${pod.uid}\`: the UID is over ${UID_BYTES} bytes`);
  value.write(pod.uid, at.uid, "utf8");
  value.writeUInt32LE(pod.namespaceNumber, at.namespace_number);
  value.writeUInt32LE(pod.flags, at.flags);
  for (const [index, address] of pod.addresses.slice(0, POD_ADDRESSES).entries()) {
    value.set(encodeAddress(address), at.addresses + 16 * index);
  }
  return value;
}

export function decodePodUid(value: Buffer): { uid: string; namespaceNumber: number } {
  const at = layouts.pod;
  const end = value.indexOf(0, at.uid);
  const uid = value.toString("utf8", at.uid, Math.min(end === -1 ? UID_BYTES : end, UID_BYTES));
  return { uid, namespaceNumber: value.readUInt32LE(at.namespace_number) };
}

/** `cgroup`: the key it is for. `netnsCookie`: one of the pod's own, 0n if none is known. */
export function encodePodRef(
  cgroup: bigint,
  pod: number,
  namespaceNumber: number,
  flags: number,
  netnsCookie: bigint,
): Buffer {
  const lowerHalf = Number(cgroup & 0xffff_ffffn);
  return Buffer.concat([encodeU32(pod, namespaceNumber, flags, lowerHalf), encodeU64(netnsCookie)]);
}

export function encodeForward(address: IpAddress, port: number): Buffer {
  const value = Buffer.alloc(layouts.forward.size);
  value.set(encodeAddress(address), layouts.forward.address);
  value.writeUInt16BE(port, layouts.forward.port);
  return value;
}

/** An address of 16 bytes and a port in network order. */
export interface KernelEndpoint {
  readonly address: IpAddress;
  readonly port: number;
}

export function decodeEndpoint(bytes: Buffer, addressAt: number, portAt: number): KernelEndpoint {
  return {
    address: formatAddress(bytes.subarray(addressAt, addressAt + 16)),
    port: bytes.readUInt16BE(portAt),
  };
}

/** A process name as the kernel has it: 15 bytes at most, any byte but NUL. */
export function decodeComm(bytes: Buffer, at: number): string {
  const end = bytes.indexOf(0, at);
  return bytes.toString("utf8", at, end === -1 || end > at + COMM_BYTES ? at + COMM_BYTES : end);
}
