/** How the API server is reached: its address, and for each request the TLS and login options of the moment. */
import { readFile } from "node:fs/promises";
import type { RequestOptions } from "node:https";
import { isIPv6 } from "node:net";
import { join } from "node:path";
import type { Clock } from "../model/clock.ts";

export interface Access {
  /** Base address; its path, if any, is put before every request's path. */
  readonly server: URL;
  /** Credentials now; asked for before every request, because tokens rotate. */
  options(): Promise<RequestOptions>;
  /** The server refused the credentials: read them anew before the next request. */
  invalidate(): void;
}

const SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount";
/** kubelet renews a projected token well before it expires; client-go reads it as often. */
const TOKEN_AGE_MS = 60_000;

/**
 * `kubeconfig` given: that file. Else the pod's ServiceAccount, else $KUBECONFIG or ~/.kube/config. `context`: of a
 * kubeconfig, instead of its current one.
 */
export async function findAccess(
  clock: Clock,
  kubeconfig?: string,
  env = process.env,
  context?: string,
): Promise<Access> {
  if (kubeconfig !== undefined || context !== undefined) return kubeconfigAccess(kubeconfig, context);
  if (env.KUBERNETES_SERVICE_HOST) return inClusterAccess(clock, env);
  return kubeconfigAccess();
}

/**
 * The ServiceAccount of the pod the agent runs in. Not by client-node's KubeConfig, whose import alone costs
 * 80 MB of memory: what a pod needs is two files and two variables.
 */
export function inClusterAccess(clock: Clock, env = process.env, directory = SERVICE_ACCOUNT): Access {
  const host = env.KUBERNETES_SERVICE_HOST;
  const port = env.KUBERNETES_SERVICE_PORT ?? "443";
  if (!host) {
    throw new Error(
      "find the API server: KUBERNETES_SERVICE_HOST is not set: run in a pod or give --kubeconfig",
    );
  }
  let cached: { readonly options: RequestOptions; readonly read: number } | undefined;
  return {
    server: new URL(`https://${isIPv6(host) ? `[${host}]` : host}:${port}`),
    async options() {
      if (cached === undefined || clock.now() - cached.read > TOKEN_AGE_MS) {
        const [token, ca] = await Promise.all([
          readFile(join(directory, "token"), "utf8"),
          readFile(join(directory, "ca.crt")),
        ]);
        cached = { options: { ca, headers: { authorization: `Bearer ${token.trim()}` } }, read: clock.now() };
      }
      return cached.options;
    },
    invalidate() {
      cached = undefined;
    },
  };
}

/** A kubeconfig file with all that client-node understands: certificates, tokens, exec plugins, proxies. */
export async function kubeconfigAccess(path?: string, context?: string): Promise<Access> {
  // Imported here and not above, and not from the package's root: only who has a kubeconfig pays for it.
  const { KubeConfig } = await import("@kubernetes/client-node/dist/config.js");
  const load = () => {
    const config = new KubeConfig();
    try {
      if (path === undefined) config.loadFromDefault();
      else config.loadFromFile(path);
    } catch (cause) {
      throw new Error(`read kubeconfig ${path ?? "from its default place"}: ${messageOf(cause)}`, { cause });
    }
    if (context !== undefined) {
      if (config.getContextObject(context) === null) {
        const names = config.getContexts().map(({ name }) => name);
        throw new Error(`use context \`${context}\`: the kubeconfig has ${names.join(", ") || "none"}`);
      }
      config.setCurrentContext(context);
    }
    return config;
  };
  const first = load();
  const cluster = first.getCurrentCluster();
  const server = cluster?.server;
  // What client-node makes up where there is no kubeconfig: nobody means it.
  if (path === undefined && cluster?.name === "cluster" && server === "http://localhost:8080") {
    throw new Error(
      "find the API server: there is no kubeconfig: set $KUBECONFIG, write ~/.kube/config or give --kubeconfig",
    );
  }
  if (server === undefined) {
    throw new Error(
      `read kubeconfig ${path ?? "from its default place"}: its current context names no cluster: choose one with "kubectl config use-context"`,
    );
  }
  const url = new URL(server);
  let config: typeof first | undefined = first;
  const apply = async () => {
    config ??= load();
    const options: RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    // client-node keeps one agent with the certificates of the first request; a rotated one would never be used.
    if (config.getCurrentCluster()?.proxyUrl === undefined) delete options.agent;
    return options;
  };
  let applying: Promise<RequestOptions> | undefined;
  return {
    server: url,
    async options() {
      // As kubectl: credentials go over TLS or not at all.
      if (url.protocol === "http:") return {};
      // All reflectors start at once, and an exec plugin may take seconds or ask somebody: one answer is enough.
      applying ??= apply().finally(() => {
        applying = undefined;
      });
      return applying;
    },
    // Everything is read again: the file, token files, and what exec plugins answered.
    invalidate() {
      config = undefined;
    },
  };
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
