/** Who a test lets dial: a pod of the cluster by its name, one that it describes, or nobody known. */
import { isRecord } from "../cluster/fields.ts";
import { describedPod, type Moment } from "../explain/caller.ts";
import { type IpAddress, parseAddress } from "../model/address.ts";
import type { LocalPod } from "../model/objects.ts";
import type { Schema } from "./schema.ts";

const POD_KEYS = [
  "namespace",
  "name",
  "uid",
  "ip",
  "node",
  "annotations",
  "labels",
  "serviceAccount",
  "hostNetwork",
];
/** Of described pods that have no address of their own: one for benchmarks (RFC 2544). */
const SOME_ADDRESS: IpAddress = "198.19.255.254";

export function readCaller(value: unknown, path: string, schema: Schema): string | LocalPod | undefined {
  if (typeof value === "string") {
    if (value === "unresolved" || /^[^/\s]+\/[^/\s]+$/.test(value)) return value;
    schema.fault(
      path,
      "it is no caller: write namespace/pod of a pod in cluster.yaml, `unresolved`, or describe a pod",
    );
    return undefined;
  }
  if (!isRecord(value)) {
    schema.fault(
      path,
      "the test has no caller: write `from: namespace/pod`, `from: unresolved`, or describe a pod",
    );
    return undefined;
  }
  const fields = schema.object(path, value, POD_KEYS);
  const text = (key: string, what: string) => schema.text(`${path}.${key}`, fields[key], what);
  const namespace = schema.required(`${path}.namespace`, fields.namespace, "the pod's namespace");
  const address = text("ip", "an IP address") ?? SOME_ADDRESS;
  const ip = parseAddress(address);
  if (ip === undefined)
    schema.fault(`${path}.ip`, `\`${address}\` is no IP address: write one such as 10.0.0.7`);
  const uid = text("uid", "the pod's uid");
  const name = text("name", "the pod's name") ?? "pod";
  const parts = {
    nodeName: text("node", "the node's name") ?? "",
    annotations: schema.texts(`${path}.annotations`, fields.annotations),
    labels: schema.texts(`${path}.labels`, fields.labels),
    serviceAccount: text("serviceAccount", "the service account's name") ?? "default",
    hostNetwork: schema.flag(`${path}.hostNetwork`, fields.hostNetwork),
  };
  if (namespace === undefined || ip === undefined) return undefined;
  return describedPod({ namespace, name, ips: [ip], ...parts, ...(uid !== undefined && { uid }) });
}

/** A port of the caller or a time makes it one connection; the other is then an ordinary one. */
export function readMoment(
  fields: Readonly<Record<string, unknown>>,
  path: string,
  schema: Schema,
): Moment | undefined {
  const { clientPort, time } = fields;
  if (clientPort === undefined && time === undefined) return undefined;
  const port = clientPort ?? 50_000;
  if (typeof port !== "number" || !Number.isInteger(port) || port < 1 || port > 65535) {
    schema.fault(`${path}.clientPort`, "it is no port: write a number from 1 to 65535");
  }
  const at = Date.parse(typeof time === "string" ? time : "2026-01-01T00:00:00Z");
  if ((time !== undefined && typeof time !== "string") || Number.isNaN(at)) {
    schema.fault(`${path}.time`, "it is no time: write one such as 2026-11-21T09:00:00Z");
  }
  return { clientPort: Number(port), time: at };
}
