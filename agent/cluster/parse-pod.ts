/** Pods: anywhere, as little as says who has an address; on this node, with what identity needs. */
import type { LocalPod, Pod } from "../model/objects.ts";
import { describe, type Fields, field, listField, type Report, textField, textMap } from "./fields.ts";
import type { Metadata } from "./metadata.ts";
import { addresses } from "./parse-addresses.ts";

/**
 * Written by kubelet on the API's copy of a static pod, both with the same value, together with its node as the
 * owner. Users can write all that too, so it proves nothing: of two pods with one hash neither is believed.
 */
const MIRROR = "kubernetes.io/config.mirror";
const HASH = "kubernetes.io/config.hash";

export function parsePod(object: Fields, metadata: Metadata, report: Report): Pod {
  const spec = field(object, "spec");
  const status = field(object, "status");
  const phase = textField(status, "phase", "status", report);
  return {
    uid: metadata.uid,
    namespace: metadata.namespace,
    name: metadata.name,
    nodeName: textField(spec, "nodeName", "spec", report),
    ips: podIps(status, report),
    hostNetwork: hostNetwork(spec, report),
    completed: phase === "Succeeded" || phase === "Failed",
  };
}

export function parseLocalPod(object: Fields, metadata: Metadata, report: Report): LocalPod {
  const annotations = textMap(metadata.annotations, "metadata.annotations", report);
  const pod = parsePod(object, metadata, report);
  const configHash = annotations.get(HASH);
  const isMirror = annotations.get(MIRROR) === configHash && isOwnedByNode(object, pod.nodeName);
  return {
    ...pod,
    annotations,
    labels: textMap(metadata.labels, "metadata.labels", report),
    serviceAccount: textField(field(object, "spec"), "serviceAccountName", "spec", report),
    ...(configHash && isMirror ? { configHash } : {}),
  };
}

function isOwnedByNode(object: Fields, nodeName: string): boolean {
  const owners = field(field(object, "metadata"), "ownerReferences");
  return (
    Array.isArray(owners) &&
    owners.some(
      (owner) =>
        field(owner, "apiVersion") === "v1" &&
        field(owner, "kind") === "Node" &&
        field(owner, "controller") === true &&
        field(owner, "name") === nodeName,
    )
  );
}

function podIps(status: unknown, report: Report) {
  const list = listField(status, "podIPs", "status", report);
  const found = list.map((entry, index) => ({
    value: field(entry, "ip"),
    path: `status.podIPs[${index}].ip`,
  }));
  const first = field(status, "podIP");
  if (first !== undefined && first !== null && first !== "") {
    found.unshift({ value: first, path: "status.podIP" });
  }
  return addresses(found, report);
}

/** Unreadable is true: a hostNetwork pod has no identity, and a wrong identity is worse than none. */
function hostNetwork(spec: unknown, report: Report): boolean {
  const value = field(spec, "hostNetwork") ?? false;
  if (typeof value === "boolean") return value;
  report("spec.hostNetwork", `is ${describe(value)}, not true or false`);
  return true;
}
