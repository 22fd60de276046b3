/** Clusters written as manifests, and questions put to them. */
import { findCaller } from "../../../agent/explain/caller.ts";
import { explain } from "../../../agent/explain/explain.ts";
import type { Explanation } from "../../../agent/explain/explanation.ts";
import { type Family, findPlace } from "../../../agent/explain/place.ts";
import { explanationLines } from "../../../agent/explain/text.ts";
import { type World, worldOf } from "../../../agent/explain/world.ts";
import { withControllers } from "../../../agent/files/controllers.ts";
import { toSnapshot } from "../../../agent/files/file-snapshot.ts";
import { parseManifests } from "../../../agent/files/manifests.ts";

/** `documents`: objects, as values. */
export function worldWith(...documents: readonly object[]): World {
  const text = documents.map((document) => JSON.stringify(document)).join("\n---\n");
  const { manifests } = parseManifests([{ name: "world.yaml", text, named: true }]);
  return worldOf(withControllers(toSnapshot(manifests)), new Set(["default", "kube-system"]));
}

export function ask(world: World, from: string, to: string, family: Family = 4): Explanation {
  const caller = findCaller(world, from);
  const place = findPlace(world, to, family);
  if (caller instanceof Error) throw caller;
  if (place instanceof Error) throw place;
  return explain(world, caller, place);
}

export function say(world: World, from: string, to: string): string {
  return explanationLines(ask(world, from, to)).join("\n");
}

function names(key: string): { namespace: string; name: string } {
  const [namespace = "", name = ""] = key.split("/");
  return { namespace, name };
}

export function pod(key: string, parts: { metadata?: object; spec?: object; ip?: string } = {}): object {
  const { name } = names(key);
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { ...names(key), labels: { app: name }, ...parts.metadata },
    spec: parts.spec ?? {},
    ...(parts.ip !== undefined && { status: { podIP: parts.ip } }),
  };
}

/** Selects the pod of its own name, unless told otherwise. */
export function service(key: string, ports: readonly object[], spec: object = {}): object {
  const { name } = names(key);
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: names(key),
    spec: { selector: { app: name }, ports, ...spec },
  };
}

export const denial = { actions: [{ type: "deny" }] };

export function deny(expression: string): object {
  return { expressions: [expression], ...denial };
}

export function forward(url: string): object {
  return { actions: [{ type: "forward-internal", config: { url } }] };
}

function traffic(rules: readonly object[]): object {
  return rules.length === 0 ? {} : { trafficPolicy: { inline: { on_tcp_connect: rules } } };
}

export function cloud(key: string, url: string, ...rules: readonly object[]): object {
  return {
    apiVersion: "ngrok.k8s.ngrok.com/v1alpha1",
    kind: "CloudEndpoint",
    metadata: names(key),
    spec: { url, bindings: ["kubernetes"], ...traffic(rules) },
  };
}

export function agent(key: string, url: string, upstream: string, ...rules: readonly object[]): object {
  return {
    apiVersion: "ngrok.k8s.ngrok.com/v1alpha1",
    kind: "AgentEndpoint",
    metadata: names(key),
    spec: { url, upstream: { url: upstream }, ...traffic(rules) },
  };
}

export function policy(key: string, target: string, mode: string, ...rules: readonly object[]): object {
  return {
    apiVersion: "podgate.dev/v1alpha1",
    kind: "ConnectionPolicy",
    metadata: names(key),
    spec: { mode, targetRefs: [{ kind: "Service", name: target }], ...traffic(rules) },
  };
}
