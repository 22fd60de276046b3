/** Where a url of a policy leads: which endpoints are registered under it, and which Service it names. */
import type { Snapshot } from "../cluster/snapshot.ts";
import type { EndpointFacts } from "../model/connection.ts";
import { type Endpoint, type ObjectRef, refKey } from "../model/objects.ts";
import type { Evaluate } from "../policy/evaluate.ts";
import { type EndpointUrl, parseForwardUrl, urlKey } from "../policy/url.ts";
import { endpointFacts } from "./endpoint-facts.ts";
import type { FallThrough, InForce } from "./guard.ts";
import type { ResolvedPolicies, ResolvedPolicy } from "./policies.ts";
import { type Reach, reachOfAll } from "./reach.ts";
import type { Services } from "./services.ts";

/** An endpoint that a forward may lead to: its own policy runs before anything is reached. */
export interface RegisteredEndpoint {
  readonly object: Endpoint;
  readonly resolved: ResolvedPolicy;
  readonly fallThrough: FallThrough;
  readonly endpoint: EndpointFacts;
}

export interface Route {
  readonly url: EndpointUrl;
  /** Sorted by object; empty when nothing is registered there that the asking namespace may use. */
  readonly endpoints: readonly RegisteredEndpoint[];
}

export interface Routes {
  readonly services: Services;
  /** Every endpoint that some url leads to, sorted by object within a url. */
  readonly registered: readonly RegisteredEndpoint[];
  /** What a policy says of a caller; may remember. */
  readonly evaluate: Evaluate;
  /** Where `url`, written in a policy of `namespace`, leads. Error: it is not a url. */
  locate(url: string, namespace: string): Route | Error;
  /** What the verdicts of the object's policy hang on, and of all that its forwards lead through. */
  reach(object: ObjectRef): Reach | undefined;
}

export function indexRoutes(
  snapshot: Pick<Snapshot, "endpoints">,
  policies: ResolvedPolicies,
  services: Services,
  trustedNamespaces: ReadonlySet<string>,
  evaluate: Evaluate,
): Routes {
  const registered = registeredEndpoints(snapshot, policies, trustedNamespaces);
  const known = new Map<string, Route | Error>();
  const locate = (text: string, namespace: string): Route | Error => {
    const url = parseForwardUrl(text);
    if (url instanceof Error) return url;
    const all = registered.get(urlKey(url)) ?? [];
    const endpoints = url.service === undefined ? visibleFrom(namespace, all, trustedNamespaces) : all;
    return { url, endpoints };
  };
  const remember = (text: string, namespace: string): Route | Error => {
    const key = `${namespace} ${text}`;
    const route = known.get(key) ?? locate(text, namespace);
    known.set(key, route);
    return route;
  };
  const all = [...registered.values()].flat();
  let reach: ReadonlyMap<string, Reach> | undefined;
  return {
    services,
    registered: all,
    evaluate,
    locate: remember,
    reach: (object) => {
      reach ??= reachOfAll(policies, (resolved) => nextOf(resolved, { locate: remember, registered: all }));
      return reach.get(refKey(object));
    },
  };
}

/** By `urlKey`. A url `<svc>.<ns>.internal` belongs to namespace ns: nobody else stands between callers and that Service. */
function registeredEndpoints(
  snapshot: Pick<Snapshot, "endpoints">,
  policies: ResolvedPolicies,
  trustedNamespaces: ReadonlySet<string>,
): ReadonlyMap<string, readonly RegisteredEndpoint[]> {
  const registered = new Map<string, RegisteredEndpoint[]>();
  for (const object of [...snapshot.endpoints].sort((a, b) => (refKey(a) < refKey(b) ? -1 : 1))) {
    const url = parseForwardUrl(object.url);
    const resolved = policies.get(refKey(object));
    if (url instanceof Error || resolved === undefined) continue;
    const owner = url.service?.namespace ?? object.namespace;
    if (owner !== object.namespace && !trustedNamespaces.has(object.namespace)) continue;
    const entry = {
      object,
      resolved,
      fallThrough: endpointFallThrough(object),
      endpoint: endpointFacts(object),
    };
    const others = registered.get(urlKey(url));
    if (others === undefined) registered.set(urlKey(url), [entry]);
    else others.push(entry);
  }
  return registered;
}

/** What an endpoint does with a connection its rules let fall through, when it is reached by its url. */
export function endpointFallThrough(endpoint: Endpoint): FallThrough {
  if (endpoint.kind === "CloudEndpoint") return { kind: "refuse" };
  return { kind: "upstream", url: endpoint.upstreamUrl ?? "" };
}

/**
 * A url that belongs to no namespace means what the asking namespace registered under it, else what a trusted one
 * did. Only a policy of a trusted namespace looks further, so that no tenant can lay a trap for another's url.
 */
function visibleFrom(
  namespace: string,
  all: readonly RegisteredEndpoint[],
  trustedNamespaces: ReadonlySet<string>,
): readonly RegisteredEndpoint[] {
  const own = all.filter(({ object }) => object.namespace === namespace);
  if (own.length > 0) return own;
  const trusted = all.filter(({ object }) => trustedNamespaces.has(object.namespace));
  if (trusted.length > 0) return trusted;
  return trustedNamespaces.has(namespace) ? all : [];
}

/** Where the policy's forwards lead; undefined: an expression says where. */
export function forwardUrls(inForce: InForce): readonly (string | undefined)[] {
  if (inForce.kind !== "policy") return [];
  return inForce.policy.rules.flatMap((rule) =>
    rule.actions.flatMap((action) => {
      if (action.type !== "forward-internal") return [];
      const url = action.url.constant?.value;
      return [typeof url === "string" ? url : undefined];
    }),
  );
}

export interface ChainLink {
  readonly object: ObjectRef;
  readonly inForce: InForce;
}

/** A policy and the policies of all endpoints that its forwards can lead through, each once. */
export function chainOf(start: ChainLink, routes: Routes): readonly ChainLink[] {
  const links = new Map([[refKey(start.object), start]]);
  // A Map's iterator also visits what is added meanwhile.
  for (const { object, inForce } of links.values()) {
    for (const url of forwardUrls(inForce)) {
      for (const next of endpointsAt(url, object, routes)) {
        if (!links.has(refKey(next.object))) links.set(refKey(next.object), next.resolved);
      }
    }
  }
  return [...links.values()];
}

/** The endpoints that an object's forwards can lead to, each once. */
function nextOf(
  { object, inForce }: ChainLink,
  routes: Pick<Routes, "locate" | "registered">,
): ReadonlySet<Endpoint> {
  const next = new Set<Endpoint>();
  for (const url of new Set(forwardUrls(inForce))) {
    for (const endpoint of endpointsAt(url, object, routes)) next.add(endpoint.object);
  }
  return next;
}

function endpointsAt(
  url: string | undefined,
  { namespace }: ObjectRef,
  routes: Pick<Routes, "locate" | "registered">,
): readonly RegisteredEndpoint[] {
  if (url === undefined) return routes.registered;
  const route = routes.locate(url, namespace);
  return route instanceof Error ? [] : route.endpoints;
}
