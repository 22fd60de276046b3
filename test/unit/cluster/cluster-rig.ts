/** The agent's whole view of a cluster against a server that has the CRDs a test wants. */
import { Api } from "../../../agent/cluster/api.ts";
import { Cluster } from "../../../agent/cluster/cluster.ts";
import type { ApiServer } from "../../lab/apiserver/server.ts";
import { accessTo, atEnd, fastClock, type LogLine, startServer, waitFor } from "./rig.ts";

const kinds = {
  AgentEndpoint: ["ngrok.k8s.ngrok.com", "agentendpoints"],
  CloudEndpoint: ["ngrok.k8s.ngrok.com", "cloudendpoints"],
  NgrokTrafficPolicy: ["ngrok.k8s.ngrok.com", "ngroktrafficpolicies"],
  ConnectionPolicy: ["podgate.dev", "connectionpolicies"],
} as const;

export type CustomKind = keyof typeof kinds;

/** The resource's name in the server's store. */
export function resource(kind: CustomKind): string {
  const [group, plural] = kinds[kind];
  return `${plural}.${group}`;
}

export function install(server: ApiServer, kind: CustomKind, status = true): void {
  const [group, plural] = kinds[kind];
  server.store.catalog.put({
    group,
    plural,
    singular: kind.toLowerCase(),
    kind,
    listKind: `${kind}List`,
    shortNames: [],
    categories: [],
    namespaced: true,
    versions: [{ name: "v1alpha1", subresources: status ? ["status"] : [] }],
    generation: true,
    custom: true,
    selectableFields: [],
  });
}

export async function clusterRig(
  installed: readonly CustomKind[] = Object.keys(kinds) as CustomKind[],
  speed = 50,
) {
  const server = await startServer();
  for (const kind of installed) install(server, kind);
  const clock = fastClock(speed);
  const log: LogLine[] = [];
  const api = new Api(accessTo(server.url), clock);
  let changes = 0;
  const cluster = new Cluster({
    api,
    clock,
    nodeName: "node-a",
    log: (level, message, fields) => log.push({ level, message, fields }),
    onChange: () => changes++,
  });
  atEnd(() => cluster.stop());
  return {
    server,
    api,
    clock,
    cluster,
    log,
    changes: () => changes,
    async start() {
      cluster.start();
      await waitFor(() => cluster.synced, "sync of all");
    },
    settle: (condition: () => boolean, what: string) => waitFor(condition, what),
  };
}

export function pod(name: string, node: string, more: Record<string, unknown> = {}) {
  const spec = { nodeName: node, containers: [{ name: "c", image: "none" }], ...(more.spec as object) };
  return { metadata: { name, ...(more.metadata as object) }, spec, status: more.status ?? {} };
}
