/** Reads a request's method and URL: which resource, which object, which verb. */
import type { Catalog, Served } from "./catalog.ts";
import { type ResourceName, resourceName, type Subresource } from "./resource.ts";
import { methodNotAllowed, noStreams, unknownPath } from "./status.ts";

export type Verb = "get" | "list" | "watch" | "create" | "update" | "patch" | "delete" | "deletecollection";

export interface Target extends Served {
  readonly verb: Verb;
  readonly resourceName: ResourceName;
  /** Undefined: objects of the whole cluster, or a list over all namespaces. */
  readonly namespace: string | undefined;
  /** "" for a collection. */
  readonly name: string;
  readonly subresource: Subresource | undefined;
  readonly query: URLSearchParams;
}

/** What kubectl exec, attach and port-forward ask for. */
const STREAMS = new Set(["exec", "attach", "portforward"]);

/** The target of a resource path. Throws 404 for a path that names nothing served, 405 for a method it has not. */
export function parseTarget(catalog: Catalog, method: string, url: URL): Target {
  const place = parsePath(url.pathname);
  const served = place && catalog.find(place.group, place.version, place.plural);
  if (place === undefined || served === undefined) throw unknownPath();
  const { resource, version } = served;
  const { namespace, name } = place;
  const subresource = version.subresources.find((known) => known === place.subresource);
  if (resource.kind === "Pod" && STREAMS.has(place.subresource)) throw noStreams();
  if (place.subresource !== "" && subresource === undefined) throw unknownPath();
  if (!resource.namespaced && namespace !== undefined) throw unknownPath();
  // An object of a namespace has no address without it; only its collections do.
  if (resource.namespaced && namespace === undefined && name !== "") throw unknownPath();
  const verb = verbOf(method, name !== "", url.searchParams, place.watch);
  if (verb === undefined || !allowed(verb, subresource)) throw methodNotAllowed();
  if (verb === "create" && resource.namespaced && namespace === undefined) throw methodNotAllowed();
  return {
    resource,
    version,
    verb,
    resourceName: resourceName(resource),
    namespace,
    name,
    subresource,
    query: url.searchParams,
  };
}

interface Place {
  group: string;
  version: string;
  namespace: string | undefined;
  plural: string;
  name: string;
  subresource: string;
  watch: boolean;
}

/** `/api/v1/...` or `/apis/GROUP/VERSION/...`, then `[watch/][namespaces/NS/]PLURAL[/NAME[/SUBRESOURCE]]`. */
function parsePath(pathname: string): Place | undefined {
  const segments = decodeSegments(pathname);
  if (segments === undefined) return undefined;
  const root = segments.shift();
  const group = root === "api" ? "" : root === "apis" ? segments.shift() : undefined;
  const version = segments.shift();
  if (group === undefined || version === undefined) return undefined;
  const watch = segments[0] === "watch";
  if (watch) segments.shift();
  // `namespaces/x` and its own subresources are the Namespace; anything longer lies in it.
  const inside = segments[0] === "namespaces" && segments.length > 2 && segments[2] !== "status";
  const namespace = inside ? segments.splice(0, 2)[1] : undefined;
  const [plural, name = "", subresource = "", ...rest] = segments;
  if (!plural || rest.length > 0) return undefined;
  return { group, version, namespace, plural, name, subresource, watch };
}

function decodeSegments(pathname: string): string[] | undefined {
  try {
    return pathname.split("/").filter(Boolean).map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

function verbOf(
  method: string,
  named: boolean,
  query: URLSearchParams,
  watchPath: boolean,
): Verb | undefined {
  const watch = watchPath || ["1", "true"].includes(query.get("watch") ?? "");
  switch (method) {
    case "GET":
    case "HEAD":
      if (watch) return "watch";
      return named ? "get" : "list";
    case "POST":
      return "create";
    case "PUT":
      return named ? "update" : undefined;
    case "PATCH":
      return named ? "patch" : undefined;
    case "DELETE":
      return named ? "delete" : "deletecollection";
    default:
      return undefined;
  }
}

function allowed(verb: Verb, subresource: Subresource | undefined): boolean {
  if (subresource === "log") return verb === "get";
  if (subresource === "binding") return verb === "create";
  if (subresource === "status") return ["get", "update", "patch"].includes(verb);
  return true;
}
