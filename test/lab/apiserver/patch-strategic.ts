/**
 * Strategic merge patches: lists that are merged by a key instead of replaced, with `$patch`, `$retainKeys`,
 * `$deleteFromPrimitiveList` and `$setElementOrder` as kubectl sends them.
 */
import { arrayOr, clone, equal, isObject, type JsonObject, objectOr } from "./json.ts";
import { badRequest } from "./status.ts";

/** List field -> its key, wherever it stands: the core kinds the lab serves use each name in one sense. */
const mergeKeys: ReadonlyMap<string, readonly string[]> = new Map([
  ["containers", ["name"]],
  ["initContainers", ["name"]],
  ["ephemeralContainers", ["name"]],
  ["env", ["name"]],
  ["volumes", ["name"]],
  ["volumeMounts", ["mountPath"]],
  ["volumeDevices", ["devicePath"]],
  ["imagePullSecrets", ["name"]],
  ["secrets", ["name"]],
  ["hostAliases", ["ip"]],
  ["podIPs", ["ip"]],
  ["hostIPs", ["ip"]],
  ["conditions", ["type"]],
  // Node addresses by type; an EndpointSlice's are plain strings, which are replaced.
  ["addresses", ["type"]],
  ["ports", ["containerPort", "port"]],
  ["topologySpreadConstraints", ["topologyKey"]],
  ["ownerReferences", ["uid"]],
  ["resourceClaims", ["name"]],
]);

/** Lists of plain values that are sets. */
const sets: ReadonlySet<string> = new Set(["finalizers", "podCIDRs"]);

/** Lists whose elements have no key, although their name does elsewhere. */
const replacedIn: ReadonlyMap<string, ReadonlySet<string>> = new Map([["EndpointSlice", new Set(["ports"])]]);

export function strategicPatch(target: unknown, patch: unknown, kind: string): unknown {
  if (!isObject(patch)) throw badRequest("a strategic merge patch is an object");
  return mergeObjects(objectOr(target), patch, kind);
}

function mergeObjects(target: JsonObject, patch: JsonObject, kind: string): JsonObject {
  if (patch.$patch === "replace") return withoutDirectives(patch);
  if (patch.$patch === "delete") return {};
  const merged = { ...target };
  const retained = patch.$retainKeys;
  if (Array.isArray(retained)) {
    for (const field of Object.keys(merged)) if (!retained.includes(field)) delete merged[field];
  }
  for (const [field, value] of Object.entries(patch)) {
    if (field.startsWith("$")) applyDirective(merged, field, value);
    else if (value === null) delete merged[field];
    else merged[field] = mergeField(field, merged[field], value, kind);
  }
  // The order is known only once every element is there.
  for (const [field, order] of Object.entries(patch)) {
    if (field.startsWith("$setElementOrder/"))
      reorder(merged, field.slice(field.indexOf("/") + 1), arrayOr(order));
  }
  return merged;
}

function applyDirective(merged: JsonObject, directive: string, value: unknown): void {
  const [name, field = ""] = directive.split("/");
  if (name !== "$deleteFromPrimitiveList") return;
  merged[field] = arrayOr(merged[field]).filter((element) => !arrayOr(value).includes(element));
}

function mergeField(field: string, target: unknown, patch: unknown, kind: string): unknown {
  if (isObject(patch)) return mergeObjects(objectOr(target), patch, kind);
  if (!Array.isArray(patch)) return patch;
  const elements = arrayOr(target);
  if (sets.has(field)) return [...elements, ...patch.filter((element) => !elements.includes(element))];
  const key = replacedIn.get(kind)?.has(field) ? undefined : keyOf(field, [...patch, ...elements]);
  return key === undefined ? withoutDirectives(patch) : mergeLists(elements, patch, key, kind);
}

/** The key of a list's elements; undefined: the list is replaced. */
function keyOf(field: string, elements: readonly unknown[]): string | undefined {
  if (!elements.every(isObject)) return undefined;
  return mergeKeys.get(field)?.find((key) => elements.some((element) => Object.hasOwn(element, key)));
}

function mergeLists(target: unknown[], patch: unknown[], key: string, kind: string): unknown[] {
  if (patch.some((element) => objectOr(element).$patch === "replace")) {
    return withoutDirectives(patch.filter((element) => objectOr(element).$patch === undefined));
  }
  const merged = [...target];
  for (const element of patch.map(objectOr)) {
    const found = merged.findIndex((other) => isSameElement(objectOr(other), element, key));
    if (element.$patch === "delete") {
      if (found >= 0) merged.splice(found, 1);
    } else if (found >= 0) merged[found] = mergeObjects(objectOr(merged[found]), element, kind);
    else merged.push(withoutDirectives(element));
  }
  return merged;
}

/** One port number may be there once for each protocol, as a DNS Service has it; a patch need not say which. */
function isSameElement(a: JsonObject, b: JsonObject, key: string): boolean {
  const protocols = [a.protocol, b.protocol].filter((protocol) => protocol !== undefined);
  return equal(a[key], b[key]) && new Set(protocols).size < 2;
}

/** Elements named in `order` come in that order, the others stay behind them. */
function reorder(merged: JsonObject, field: string, order: readonly unknown[]): void {
  const elements = merged[field];
  if (!Array.isArray(elements)) return;
  const key = keyOf(field, elements);
  const rank = (element: unknown) => {
    const found = order.findIndex((entry) =>
      key === undefined ? equal(entry, element) : equal(objectOr(entry)[key], objectOr(element)[key]),
    );
    return found < 0 ? order.length : found;
  };
  merged[field] = [...elements].sort((a, b) => rank(a) - rank(b));
}

function withoutDirectives<T>(value: T): T {
  if (Array.isArray(value)) return value.map(withoutDirectives) as T;
  if (!isObject(value)) return clone(value);
  const kept = Object.entries(value).filter(([field, child]) => !field.startsWith("$") && child !== null);
  return Object.fromEntries(kept.map(([field, child]) => [field, withoutDirectives(child)])) as T;
}
