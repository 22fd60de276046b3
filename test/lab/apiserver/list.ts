/** GET of a collection: filtered, paged, at one version. */
import type { Faults } from "./faults.ts";
import { isObject, type JsonObject } from "./json.ts";
import type { KubeObject } from "./object.ts";
import { keyOf } from "./objects.ts";
import type { Target } from "./paths.ts";
import { apiVersion } from "./resource.ts";
import { parseSelectors } from "./selectors.ts";
import { badRequest, expired } from "./status.ts";
import type { Store } from "./store.ts";

export interface Page {
  readonly items: readonly KubeObject[];
  /** resourceVersion, and where there is more: continue and remainingItemCount. */
  readonly metadata: JsonObject;
}

/** The state a list is taken from, and after which key: a later page shows the same state as the first. */
interface Position {
  readonly version: number;
  readonly after: string;
}

export function listPage(store: Store, faults: Faults, target: Target): Page {
  const { query } = target;
  const limit = Number(query.get("limit") ?? 0);
  if (!Number.isInteger(limit) || limit < 0) throw badRequest(`limit ${query.get("limit")} is not a number`);
  const token = query.get("continue") ?? "";
  const position = token === "" ? firstPosition(store, query) : decodeToken(token, faults);
  const matches = parseSelectors(query, target.resource);
  const all = readAt(store, target, position, token !== "").filter(matches);
  const from = all.filter((object) => keyOf(object) > position.after);
  const items = limit === 0 ? from : from.slice(0, limit);
  const metadata: JsonObject = { resourceVersion: String(position.version) };
  const last = items.at(-1);
  if (items.length < from.length && last !== undefined) {
    metadata.continue = encodeToken(
      { version: position.version, after: keyOf(last) },
      faults.tokenGeneration,
    );
    // The real server does not count what a selector would have to be asked for.
    if (!query.get("labelSelector") && !query.get("fieldSelector")) {
      metadata.remainingItemCount = from.length - items.length;
    }
  }
  return { items: items.map((object) => inVersion(object, target)), metadata };
}

function readAt(store: Store, target: Target, position: Position, continued: boolean): KubeObject[] {
  try {
    return store.list(target.resourceName, target.namespace, position.version);
  } catch (error) {
    throw continued ? expiredToken() : error;
  }
}

/** An absent or "0" resourceVersion is the newest; another is exact only where the query says so. */
function firstPosition(store: Store, query: URLSearchParams): Position {
  const asked = parseVersion(query.get("resourceVersion") ?? "");
  const current = store.history.version;
  if (query.get("resourceVersionMatch") === "Exact") {
    store.history.check(asked);
    return { version: asked, after: "" };
  }
  if (asked > current) store.history.check(asked);
  return { version: current, after: "" };
}

export function parseVersion(text: string): number {
  if (!/^\d{0,15}$/.test(text))
    throw badRequest(`Invalid value: "${text}": resourceVersion must be a number`);
  return Number(text);
}

/** A token remembers the generation it was made in, so that a fault can expire all that are out. */
function encodeToken(position: Position, generation: number): string {
  return Buffer.from(JSON.stringify({ ...position, generation })).toString("base64url");
}

function decodeToken(token: string, faults: Faults): Position {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(token, "base64url").toString());
  } catch {
    throw badRequest("continue key is not valid");
  }
  if (!isObject(value) || typeof value.version !== "number" || typeof value.after !== "string") {
    throw badRequest("continue key is not valid");
  }
  if (value.generation !== faults.tokenGeneration) throw expiredToken();
  return { version: value.version, after: value.after };
}

function expiredToken(): Error {
  return expired(
    "The provided continue parameter is too old to display a consistent list result. You must start a new list without the continue parameter.",
  );
}

/** The object as the version asked for shows it: the versions of a kind differ in their name alone. */
export function inVersion(object: KubeObject, target: Pick<Target, "resource" | "version">): KubeObject {
  const shown = apiVersion(target.resource.group, target.version.name);
  return object.apiVersion === shown ? object : { ...object, apiVersion: shown };
}

export function listDocument(target: Target, page: Page): JsonObject {
  const { resource, version } = target;
  return {
    kind: resource.listKind,
    apiVersion: apiVersion(resource.group, version.name),
    metadata: page.metadata,
    items: page.items,
  };
}
