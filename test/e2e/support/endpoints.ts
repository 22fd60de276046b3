/** ngrok's objects, and rules as the documents write them. */
import type { KubeObject } from "../../lab/kube-objects.ts";
import { forwardTo, type RuleWish } from "./objects.ts";

const API = "ngrok.k8s.ngrok.com/v1alpha1";

/** `namespace/name`, split. */
export function nameOf(key: string): { namespace: string; name: string } {
  const [namespace = "", name = ""] = key.split("/");
  return { namespace, name };
}

/** Bound to kubernetes: guards the Service its url names. */
export function cloudEndpoint(key: string, url: string, rules: readonly RuleWish[] | object): KubeObject {
  const trafficPolicy = Array.isArray(rules) ? { inline: { on_tcp_connect: rules } } : rules;
  return {
    apiVersion: API,
    kind: "CloudEndpoint",
    metadata: nameOf(key),
    spec: { url, bindings: ["kubernetes"], trafficPolicy },
  } as KubeObject;
}

/** Without a binding: what it guards, if its policy is about pods, is the Service of its upstream. */
export function agentEndpoint(
  key: string,
  url: string,
  upstream: string,
  rules: readonly RuleWish[],
): KubeObject {
  return {
    apiVersion: API,
    kind: "AgentEndpoint",
    metadata: nameOf(key),
    spec: { url, upstream: { url: upstream }, trafficPolicy: { inline: { on_tcp_connect: rules } } },
  } as KubeObject;
}

/** Guards port 80 of the Service of its name, and leads there. */
export function tlsEndpoint(key: string, rules: readonly RuleWish[]): KubeObject {
  const { namespace, name } = nameOf(key);
  return {
    apiVersion: API,
    kind: "AgentEndpoint",
    metadata: { namespace, name },
    spec: {
      url: `tls://${name}.${namespace}:80`,
      upstream: { url: `tcp://${name}.${namespace}:80` },
      bindings: ["kubernetes"],
      trafficPolicy: { inline: { on_tcp_connect: rules } },
    },
  } as KubeObject;
}

export function trafficPolicy(key: string, rules: readonly RuleWish[]): KubeObject {
  return {
    apiVersion: API,
    kind: "NgrokTrafficPolicy",
    metadata: nameOf(key),
    spec: { policy: { on_tcp_connect: rules } },
  } as KubeObject;
}

export function denyWhere(...expressions: readonly string[]): RuleWish {
  return { expressions, actions: [{ type: "deny" }] };
}

export const denyAll: RuleWish = { actions: [{ type: "deny" }] };
export const denyUnresolved = denyWhere('conn.k8s.pod.metadata.error_code != ""');

/** Two denials and a forward, as the documents' fail-closed example has them. */
export function failClosed(namespace: string, url: string): readonly RuleWish[] {
  const outside = `conn.k8s.pod.metadata.namespace != ${JSON.stringify(namespace)}`;
  return [denyUnresolved, denyWhere(outside), forwardTo(url)];
}

/** One denial and a forward, as in the fail-open example. */
export function failOpen(namespace: string, url: string): readonly RuleWish[] {
  const outside = `conn.k8s.pod.metadata.namespace != ${JSON.stringify(namespace)}`;
  return [denyWhere(`conn.k8s.pod.metadata.error_code == "" && ${outside}`), forwardTo(url)];
}
