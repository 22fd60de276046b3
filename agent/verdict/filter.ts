/** Which verdict lines somebody wants to see. Each filter takes several values, of which one must fit. */
import { type IpAddress, parseAddress } from "../model/address.ts";
import type { LinePlace, VerdictLine } from "./line.ts";

export type LineFilter = (line: VerdictLine) => boolean;

/** An audited policy would have said something else. */
export const AUDITED = "audited";
export const VERDICTS = ["allow", "deny", "forward", "proxy", AUDITED] as const;

export interface Wanted {
  /** Of the caller. `*` stands for any characters, here and below. */
  readonly namespaces?: readonly string[];
  /** `name` or `namespace/name` of the caller, or `unresolved`. */
  readonly pods?: readonly string[];
  readonly to?: readonly PlacePattern[];
  readonly verdicts?: readonly string[];
  /** ms since 1970; lines before it are left out. */
  readonly since?: number;
}

export function lineFilter({ namespaces, pods, to, verdicts, since }: Wanted): LineFilter {
  const namespaceFits = anyGlob(namespaces);
  const podFits = pods?.map(podPattern);
  return (line) =>
    (since === undefined || line.time >= since) &&
    (namespaces === undefined || (line.pod !== undefined && namespaceFits(line.pod.namespace))) &&
    (podFits === undefined || podFits.some((fits) => fits(line.pod))) &&
    (to === undefined || to.some((fits) => fits(line.destination) || fitsForward(line, fits))) &&
    (verdicts === undefined || verdicts.some((wanted) => isVerdict(line, wanted)));
}

function fitsForward({ forwardedTo }: VerdictLine, fits: PlacePattern): boolean {
  return forwardedTo !== undefined && fits(forwardedTo);
}

function isVerdict(line: VerdictLine, wanted: string): boolean {
  return wanted === AUDITED ? line.audited !== undefined : line.verdict === wanted;
}

function podPattern(text: string): (pod: VerdictLine["pod"]) => boolean {
  if (text === "unresolved") return (pod) => pod === undefined;
  const fits = glob(text);
  return (pod) => pod !== undefined && fits(text.includes("/") ? `${pod.namespace}/${pod.name}` : pod.name);
}

function anyGlob(patterns: readonly string[] = []): (text: string) => boolean {
  const globs = patterns.map(glob);
  return (text) => globs.some((fits) => fits(text));
}

function glob(pattern: string): (text: string) => boolean {
  const source = pattern.split("*").map((part) => part.replace(/[^\w-]/g, "\\$&"));
  const expression = new RegExp(`^${source.join(".*")}$`, "s");
  return (text) => expression.test(text);
}

export type PlacePattern = (place: LinePlace) => boolean;

/** `service.namespace`, `namespace/service`, an address, each with or without `:port`; `:port` alone. */
export function placePattern(text: string): PlacePattern | Error {
  const { host, port } = splitPort(text);
  if (port instanceof Error) return port;
  const portFits = (place: LinePlace) => port === undefined || place.port === port;
  if (host === "") {
    return port === undefined ? new Error("write service.namespace, an address, or :port") : portFits;
  }
  const address = parseAddress(host);
  if (address !== undefined) return (place) => portFits(place) && sameAddress(place.address, address);
  const key = serviceKey(host);
  if (key === undefined) return new Error(`\`${host}\` is neither service.namespace nor an address`);
  const fits = glob(key);
  return (place) => portFits(place) && fits(place.service);
}

function sameAddress(text: string, address: IpAddress): boolean {
  return text === address || parseAddress(text) === address;
}

function serviceKey(host: string): string | undefined {
  const key = /^([-\w*]+)\.([-\w*]+)(\.svc(\.cluster\.local)?)?$/.exec(host);
  if (key !== null) return `${key[2]}/${key[1]}`;
  return /^[-\w*]+\/[-\w*]+$/.test(host) ? host : undefined;
}

function splitPort(text: string): { host: string; port: number | undefined | Error } {
  if (parseAddress(text) !== undefined) return { host: text, port: undefined };
  const [, host = "", digits] = /^(.*?)(?::([^:\]]*))?$/.exec(text) ?? [];
  const bare = host.replace(/^\[(.*)\]$/, "$1");
  if (digits === undefined) return { host: bare, port: undefined };
  const port = Number(digits);
  const valid = /^\d{1,5}$/.test(digits) && port > 0 && port < 65536;
  return { host: bare, port: valid ? port : new Error(`\`${digits}\` is no port from 1 to 65535`) };
}
