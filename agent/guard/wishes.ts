/** Which Services a policy object names, at which ports, as far as its own text says. */
import type { ConnectionPolicy, Endpoint, ServicePort } from "../model/objects.ts";
import { type EndpointUrl, parseEndpointUrl, parseUpstreamUrl } from "../policy/url.ts";
import type { Problem } from "./guard.ts";
import type { ResolvedPolicy } from "./policies.ts";
import { forwardUrls, type Routes } from "./routes.ts";
import { preferredPort } from "./target.ts";

export interface Wish {
  readonly namespace: string;
  readonly name: string;
  /** Which of the Service's TCP ports. */
  readonly wants: (port: ServicePort, all: readonly ServicePort[]) => boolean;
  /** The field that names it, for messages. */
  readonly path: string;
}

/** Undefined: nothing of this object is about connections inside the cluster. */
export function wishesOf(
  object: Endpoint | ConnectionPolicy,
  resolved: ResolvedPolicy,
  routes: Routes,
): readonly (Wish | Problem)[] | undefined {
  if (object.kind === "ConnectionPolicy") return targetWishes(object);
  const wishes: (Wish | Problem)[] = [];
  if (isBound(object)) wishes.push(boundWish(object));
  else if (resolved.readsPod) wishes.push(...upstreamWish(object));
  if (object.guardUpstream) wishes.push(...upstreamWish(object), ...forwardWishes(object, resolved, routes));
  return wishes.length > 0 ? wishes : undefined;
}

export function isBound(object: Endpoint | ConnectionPolicy): object is Endpoint {
  return object.kind !== "ConnectionPolicy" && object.bindings.includes("kubernetes");
}

function targetWishes(object: ConnectionPolicy): readonly (Wish | Problem)[] {
  if (object.targets.length === 0) {
    return [{ reason: "Invalid", message: "spec.targetRefs: it names no Service: write one" }];
  }
  return object.targets.map(({ service, port }, index) => ({
    namespace: object.namespace,
    name: service,
    wants: (candidate) => port === undefined || candidate.name === port,
    path: `spec.targetRefs[${index}]`,
  }));
}

function boundWish(endpoint: Endpoint): Wish | Problem {
  const url = parseEndpointUrl(endpoint.url);
  const path = "spec.url";
  if (url instanceof Error) return { reason: "Invalid", message: `${path}: ${url.message}` };
  return wishFor(url, path, exactly(url)) ?? { reason: "Invalid", message: `${path}: it names no Service` };
}

/** Empty for an upstream outside the cluster: there is nothing of ours on the way to it. */
function upstreamWish(endpoint: Endpoint): readonly (Wish | Problem)[] {
  if (endpoint.upstreamUrl === undefined) return [];
  const url = parseUpstreamUrl(endpoint.upstreamUrl);
  const path = "spec.upstream.url";
  if (url instanceof Error) return [{ reason: "Invalid", message: `${path}: ${url.message}` }];
  const wish = wishFor(url, path, exactly(url));
  return wish === undefined ? [] : [wish];
}

/** The Services that the policy's forwards end at: named by the url, or upstream of the endpoints registered there. */
function forwardWishes(
  endpoint: Endpoint,
  { inForce }: ResolvedPolicy,
  routes: Routes,
): readonly (Wish | Problem)[] {
  return forwardUrls(inForce).flatMap((text): readonly (Wish | Problem)[] => {
    if (text === undefined) {
      const message =
        "metadata.annotations: guard-upstream cannot tell where a forward with `${...}` leads: write its url in full";
      return [{ reason: "Invalid", message }];
    }
    const route = routes.locate(text, endpoint.namespace);
    if (route instanceof Error) return [];
    if (route.endpoints.length > 0) return route.endpoints.flatMap(({ object }) => upstreamWish(object));
    const wish = wishFor(
      route.url,
      `forward-internal ${text}`,
      (port, all) => port.port === preferredPort(route.url, all),
    );
    return wish === undefined ? [] : [wish];
  });
}

function exactly(url: EndpointUrl): Wish["wants"] {
  return ({ port }) => port === (url.port ?? url.defaultPort);
}

function wishFor(url: EndpointUrl, path: string, wants: Wish["wants"]): Wish | undefined {
  return url.service === undefined ? undefined : { ...url.service, wants, path };
}
