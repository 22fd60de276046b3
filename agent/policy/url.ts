/**
 * The three kinds of url a policy object writes: an endpoint's own (`svc.ns`), an internal endpoint's (`x.internal`)
 * and an upstream. Only text is judged here; whether a Service exists is guard/'s question.
 */
import { addressBytes } from "../model/address.ts";

export type Scheme = "http" | "https" | "tcp" | "tls";

export interface EndpointUrl {
  readonly scheme: Scheme;
  /** Lower-case, without a trailing dot; an IPv6 address without its brackets. */
  readonly host: string;
  /** As written; undefined when the url has none. */
  readonly port: number | undefined;
  /** What an absent port means: http 80, https and tls 443. A tcp url always writes its port, so there it is that one. */
  readonly defaultPort: number;
  /** The Service that the host's form names. */
  readonly service?: { readonly namespace: string; readonly name: string };
}

const DEFAULT_PORTS = { http: 80, https: 443, tls: 443 } as const;
/** Longer texts are not looked at: a host has 253 characters at most. */
const MAX_LENGTH = 512;
const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
/** What DNS carries beside Kubernetes names: underscores, and a wildcard as the whole first label. */
const HOST_LABEL = /^[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?$/;

/** The url of a Kubernetes-bound endpoint: `[scheme://]service.namespace[:port]`, https where no scheme is written. */
export function parseEndpointUrl(text: string): EndpointUrl | Error {
  const hint =
    "write [scheme://]service.namespace[:port], such as http://ledger.payments or tcp://db.payments:5432";
  const url = parseUrl(text, "https", hint);
  if (url instanceof Error) return url;
  const labels = url.host.split(".");
  const service = labels.length === 2 ? serviceOf(labels[0], labels[1]) : undefined;
  if (service !== undefined) return { ...url, service };
  const [, short] = /^([^.]+\.[^.]+)\.svc(\.cluster\.local)?$/.exec(url.host) ?? [];
  return short === undefined
    ? refuse(text, "it does not name a Service and its namespace", hint)
    : refuse(text, "its host has more than Service and namespace", `write ${short} as the host`);
}

/** The url of an internal endpoint: any host below `.internal`; `<svc>.<ns>.internal` names a Service. */
export function parseInternalUrl(text: string): EndpointUrl | Error {
  const hint = "write [scheme://]name.internal[:port], such as http://ledger.payments.internal";
  const url = parseUrl(text, "https", hint);
  if (url instanceof Error) return url;
  if (!url.host.endsWith(".internal")) return refuse(text, "its host does not end in .internal", hint);
  const labels = url.host.split(".");
  const service = labels.length === 3 ? serviceOf(labels[0], labels[1]) : undefined;
  return service === undefined ? url : { ...url, service };
}

/** Where forward-internal may point: an internal url, or any host an endpoint may be registered under. Never an address. */
export function parseForwardUrl(text: string): EndpointUrl | Error {
  const hint = "write the url of an internal endpoint, such as http://ledger.payments.internal";
  const url = parseUrl(text, "https", hint);
  if (url instanceof Error) return url;
  if (looksLikeAddress(url.host)) return refuse(text, "an IP address is no forward target", hint);
  if (url.host.startsWith("*")) return refuse(text, "a wildcard is no forward target", hint);
  if (!url.host.includes(".")) return refuse(text, "its host is a single word", hint);
  return url.host.endsWith(".internal") ? parseInternalUrl(text) : url;
}

/**
 * Where an endpoint sends what it admits: `[scheme://]host[:port]` or a bare port. Outside hosts, addresses and
 * `localhost` are values without a `service`; a path is accepted and means nothing here.
 */
export function parseUpstreamUrl(text: string): EndpointUrl | Error {
  const hint = "write [scheme://]service.namespace[:port], such as http://ledger.payments:8080";
  const scheme = /:443(\/|$)/.test(text) || text === "443" ? "https" : "http";
  const address = /^\d{1,5}$/.test(text) ? `localhost:${text}` : withoutPath(text);
  const url = parseUrl(address, scheme, hint);
  if (url instanceof Error) return url;
  const [name, namespace, ...rest] = url.host.split(".");
  const inCluster = ["", "svc", "svc.cluster.local"].includes(rest.join("."));
  const service = inCluster ? serviceOf(name, namespace) : undefined;
  return service === undefined ? url : { ...url, service };
}

/** Equal for two urls that mean the same endpoint: scheme, host and effective port. */
export function urlKey(url: EndpointUrl): string {
  return `${url.scheme}://${url.host}:${url.port ?? url.defaultPort}`;
}

function serviceOf(name: string | undefined, namespace: string | undefined): EndpointUrl["service"] {
  if (name === undefined || namespace === undefined) return undefined;
  return LABEL.test(name) && LABEL.test(namespace) ? { namespace, name } : undefined;
}

function withoutPath(text: string): string {
  const start = text.includes("://") ? text.indexOf("://") + 3 : 0;
  const length = text.slice(start).search(/[/?#]/);
  return length < 0 ? text : text.slice(0, start + length);
}

function parseUrl(text: string, defaultScheme: Scheme, hint: string): EndpointUrl | Error {
  if (text.length > MAX_LENGTH)
    return refuse(`${text.slice(0, 40)}...`, `it is over ${MAX_LENGTH} characters`, hint);
  const parts = /^(?:([^:/]*):\/\/)?(\[[^\]]*\]|[^:/?#@[\]]*)(?::([^/?#]*))?\/?$/.exec(text);
  if (parts === null) return refuse(text, "it has more than scheme, host and port", hint);
  const [, written, rawHost = "", rawPort] = parts;
  const scheme = written === undefined ? defaultScheme : written.toLowerCase();
  if (!isScheme(scheme))
    return refuse(text, `its scheme \`${scheme}\` is none of http, https, tcp, tls`, hint);
  const host = canonicalHost(rawHost);
  if (host === undefined)
    return refuse(text, rawHost === "" ? "it has no host" : `\`${rawHost}\` is no host name`, hint);
  if (rawPort !== undefined && (!/^[1-9]\d{0,4}$/.test(rawPort) || Number(rawPort) > 65535)) {
    return refuse(text, `\`${rawPort}\` is no port from 1 to 65535`, hint);
  }
  const port = rawPort === undefined ? undefined : Number(rawPort);
  const defaultPort = scheme === "tcp" ? port : DEFAULT_PORTS[scheme];
  if (defaultPort === undefined) return refuse(text, "a tcp url needs a port", `${hint}, with a port`);
  return { scheme, host, port, defaultPort };
}

function isScheme(text: string): text is Scheme {
  return text === "http" || text === "https" || text === "tcp" || text === "tls";
}

function canonicalHost(raw: string): string | undefined {
  if (raw.startsWith("[")) {
    const address = raw.slice(1, -1).toLowerCase();
    return address.includes(":") && addressBytes(address) !== undefined ? address : undefined;
  }
  const host = raw.toLowerCase().replace(/\.$/, "");
  if (host.length > 253) return undefined;
  const [first = "", ...rest] = host.split(".");
  const labels = first === "*" && rest.length > 0 ? rest : [first, ...rest];
  return labels.every((label) => HOST_LABEL.test(label)) ? host : undefined;
}

/** True also for the short and odd spellings (`10.1`, `0x7f.1`) that resolvers read as IPv4. */
function looksLikeAddress(host: string): boolean {
  return host.includes(":") || /^(0x[0-9a-f]*|\d+)$/.test(host.slice(host.lastIndexOf(".") + 1));
}

function refuse(text: string, why: string, hint: string): Error {
  return new Error(`read url \`${text}\`: ${why}: ${hint}`);
}
