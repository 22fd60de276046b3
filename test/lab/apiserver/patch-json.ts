/** RFC 7386 merge patches and RFC 6902 JSON patches. */
import { clone, equal, isObject, type JsonObject } from "./json.ts";
import { ApiError, badRequest } from "./status.ts";

/** null removes, objects merge, everything else replaces. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return clone(patch);
  const merged: JsonObject = isObject(target) ? { ...target } : {};
  for (const [field, value] of Object.entries(patch)) {
    if (value === null) delete merged[field];
    else define(merged, field, mergePatch(merged[field], value));
  }
  return merged;
}

/** Sets a field whatever it is called, `__proto__` included. */
function define(object: JsonObject, field: string, value: unknown): void {
  Object.defineProperty(object, field, { value, writable: true, enumerable: true, configurable: true });
}

/** Applies a list of operations. Throws 400 for what is no patch, 422 for one that does not fit. */
export function jsonPatch(target: unknown, patch: unknown): unknown {
  if (!Array.isArray(patch)) throw badRequest("a JSON patch is a list of operations");
  let document = clone(target);
  for (const operation of patch) {
    if (!isObject(operation)) throw badRequest("an operation of a JSON patch is an object");
    document = applyOperation(document, operation);
  }
  return document;
}

function applyOperation(document: unknown, operation: JsonObject): unknown {
  const { op, path, from, value } = operation;
  if (typeof path !== "string") throw badRequest("an operation of a JSON patch needs a path");
  switch (op) {
    case "add":
      return add(document, path, clone(value));
    case "replace":
      read(document, path);
      return path === "" ? clone(value) : add(remove(document, path), path, clone(value));
    case "remove":
      return remove(document, path);
    case "move": {
      const moved = clone(read(document, String(from)));
      return add(remove(document, String(from)), path, moved);
    }
    case "copy":
      return add(document, path, clone(read(document, String(from))));
    case "test":
      if (equal(read(document, path), value)) return document;
      throw misfit(`testing value ${path} failed`);
    default:
      throw badRequest(`unexpected kind of JSON patch operation: ${JSON.stringify(op)}`);
  }
}

function misfit(why: string): ApiError {
  return new ApiError(
    422,
    "Invalid",
    `the server rejected our request due to an error in our request: ${why}`,
  );
}

function segmentsOf(path: string): string[] {
  if (path === "") return [];
  if (!path.startsWith("/")) throw badRequest(`JSON pointer ${JSON.stringify(path)} does not begin with "/"`);
  return path
    .slice(1)
    .split("/")
    .map((segment) => segment.replaceAll("~1", "/").replaceAll("~0", "~"));
}

function read(document: unknown, path: string): unknown {
  let here = document;
  for (const segment of segmentsOf(path)) {
    if (Array.isArray(here)) here = here[index(segment, here.length - 1, path)];
    else if (isObject(here) && Object.hasOwn(here, segment)) here = here[segment];
    else throw misfit(`unable to find ${path}`);
  }
  return here;
}

function index(segment: string, last: number, path: string): number {
  const position = Number(segment);
  if (/^(0|[1-9]\d*)$/.test(segment) && position <= last) return position;
  throw misfit(`unable to find ${path}`);
}

/** The container that `path` ends in, and the last segment. */
function parent(document: unknown, path: string): [container: unknown, last: string] {
  const segments = path.split("/");
  const last = segmentsOf(path).at(-1) ?? "";
  return [read(document, segments.slice(0, -1).join("/")), last];
}

function add(document: unknown, path: string, value: unknown): unknown {
  if (path === "") return value;
  const [container, last] = parent(document, path);
  if (Array.isArray(container)) {
    container.splice(last === "-" ? container.length : index(last, container.length, path), 0, value);
  } else if (isObject(container)) define(container, last, value);
  else throw misfit(`unable to find ${path}`);
  return document;
}

/** `document` is changed: it is a copy already. */
function remove(document: unknown, path: string): unknown {
  read(document, path);
  if (path === "") return null;
  const [container, last] = parent(document, path);
  if (Array.isArray(container)) container.splice(Number(last), 1);
  else if (isObject(container)) delete container[last];
  return document;
}
