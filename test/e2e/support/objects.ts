/** Kubernetes objects as these tests need them. */
import type { Container, KubeObject, Pod, Service } from "../../lab/kube-objects.ts";

export interface PodWish {
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly uid?: string;
  /** Without a command of its own it answers there. */
  readonly ports?: readonly number[];
  readonly hostNetwork?: boolean;
  readonly resources?: Container["resources"];
}

/** A pod that is a client unless it has ports. */
export function pod(namespace: string, name: string, wish: PodWish = {}): Pod {
  const { labels, annotations, uid, ports = [], hostNetwork = false, resources } = wish;
  const containerPorts = ports.flatMap((containerPort) => [
    { containerPort, protocol: "TCP" },
    { containerPort, protocol: "UDP" },
  ]);
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace,
      ...(labels && { labels }),
      ...(annotations && { annotations }),
      ...(uid && { uid }),
    },
    spec: {
      hostNetwork,
      containers: [
        {
          name: "app",
          image: "podgate/lab",
          ...(ports.length > 0 && { ports: containerPorts }),
          ...(resources && { resources }),
        },
      ],
    },
  };
}

/** Selects pods by `app: <name>`, on port 80 unless said, both families. */
export function service(namespace: string, name: string, spec: Record<string, unknown> = {}): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec: {
      ipFamilyPolicy: "RequireDualStack",
      selector: { app: name },
      ports: [{ port: 80, targetPort: 8080 }],
      ...spec,
    } as Service["spec"],
  };
}

/** A Service and the pod behind it, which listens on 8080. */
export function server(namespace: string, name: string, spec: Record<string, unknown> = {}): KubeObject[] {
  return [
    service(namespace, name, spec),
    pod(namespace, name, { labels: { app: name }, ports: [8080] }),
  ] as KubeObject[];
}

export interface RuleWish {
  readonly name?: string;
  readonly expressions?: readonly string[];
  readonly actions: readonly { readonly type: string; readonly config?: Record<string, unknown> }[];
}

/** Whoever is not in one of the namespaces is denied, the unresolved too. */
export function denyOutside(...namespaces: readonly string[]): RuleWish {
  const list = namespaces.map((name) => JSON.stringify(name)).join(", ");
  return {
    expressions: [`!(conn.k8s.pod.metadata.namespace in [${list}])`],
    actions: [{ type: "deny" }],
  };
}

export function forwardTo(url: string): RuleWish {
  return { actions: [{ type: "forward-internal", config: { url } }] };
}

/** Guards the Service of its name. */
export function guard(
  namespace: string,
  service: string,
  rules: readonly RuleWish[],
  {
    name = service,
    mode = "Enforce",
    onAgentDown = "Deny",
  }: { name?: string; mode?: "Enforce" | "Audit"; onAgentDown?: "Deny" | "Allow" } = {},
): KubeObject {
  return {
    apiVersion: "podgate.dev/v1alpha1",
    kind: "ConnectionPolicy",
    metadata: { name, namespace },
    spec: {
      mode,
      onAgentDown,
      targetRefs: [{ kind: "Service", name: service }],
      trafficPolicy: { inline: { on_tcp_connect: rules } },
    },
  } as KubeObject;
}

export function namespaces(...names: readonly string[]): KubeObject[] {
  return names.map((name) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name } }));
}
