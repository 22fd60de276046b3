/** `kubectl get nodes`. */
import { arrayOr, at, objectOr, stringOr } from "../json.ts";
import type { KubeObject } from "../object.ts";
import { ageColumn, type Column, column, nameColumn, wide } from "./column.ts";

export const nodeColumns: readonly Column[] = [
  nameColumn,
  column("Status", status),
  column("Roles", roles),
  ageColumn,
  column("Version", (node) => at(node, "status.nodeInfo.kubeletVersion") ?? ""),
  wide("Internal-IP", (node) => address(node, "InternalIP")),
  wide("External-IP", (node) => address(node, "ExternalIP")),
  wide("OS-Image", (node) => stringOr(at(node, "status.nodeInfo.osImage")) || "<unknown>"),
  wide("Kernel-Version", (node) => stringOr(at(node, "status.nodeInfo.kernelVersion")) || "<unknown>"),
  wide(
    "Container-Runtime",
    (node) => stringOr(at(node, "status.nodeInfo.containerRuntimeVersion")) || "<unknown>",
  ),
];

function status(node: KubeObject): string {
  const conditions = arrayOr(at(node, "status.conditions")).map(objectOr);
  const ready = conditions.find(({ type }) => type === "Ready");
  const state = ready === undefined ? "Unknown" : ready.status === "True" ? "Ready" : "NotReady";
  return at(node, "spec.unschedulable") === true ? `${state},SchedulingDisabled` : state;
}

function roles({ metadata }: KubeObject): string {
  const prefix = "node-role.kubernetes.io/";
  const found = Object.keys(metadata.labels ?? {}).filter((label) => label.startsWith(prefix));
  return (
    found
      .map((label) => label.slice(prefix.length))
      .sort()
      .join(",") || "<none>"
  );
}

function address(node: KubeObject, type: string): string {
  const addresses = arrayOr(at(node, "status.addresses")).map(objectOr);
  return stringOr(addresses.find((entry) => entry.type === type)?.address) || "<none>";
}
