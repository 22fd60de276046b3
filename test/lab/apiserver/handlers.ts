/** One request: documents about the API itself, or a verb on a resource. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { discoveryDocument } from "./discovery.ts";
import type { Faults } from "./faults.ts";
import type { JsonObject } from "./json.ts";
import { inVersion, listDocument, listPage, type Page } from "./list.ts";
import { type LogSource, sendLog } from "./logs.ts";
import type { KubeObject } from "./object.ts";
import { openapiDocument } from "./openapi.ts";
import { patch } from "./patch.ts";
import { parseTarget, type Target } from "./paths.ts";
import { sendJson, sendText } from "./respond.ts";
import { badRequest, methodNotAllowed } from "./status.ts";
import type { Store } from "./store.ts";
import { tableOf, wantsTable } from "./tables/table.ts";
import { planWatch, type Render, runWatch, type WatchSettings } from "./watch.ts";
import { WatchStream } from "./watch-stream.ts";
import { create, type Reply, remove, removeCollection, update } from "./write.ts";

export interface HandlerContext {
  readonly store: Store;
  readonly faults: Faults;
  /** The open watches. */
  readonly streams: Set<WatchStream>;
  readonly logs: LogSource | undefined;
  readonly watch: WatchSettings;
}

export async function handle(
  context: HandlerContext,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const method = request.method ?? "GET";
  const url = URL.parse(request.url ?? "/", "http://localhost");
  if (url === null) throw badRequest("the request's URL cannot be read");
  if (["/healthz", "/livez", "/readyz"].includes(url.pathname))
    return sendText(response, 200, "text/plain", "ok");
  const { catalog } = context.store;
  const document = discoveryDocument(catalog, url.pathname) ?? openapiDocument(catalog, url.pathname);
  if (document !== undefined) {
    if (method !== "GET" && method !== "HEAD") throw methodNotAllowed();
    return sendJson(response, 200, document);
  }
  const target = parseTarget(catalog, method, url);
  if (!(await context.faults.requests.strike(target, request, response))) return;
  await serve(context, target, request, response);
}

async function serve(
  context: HandlerContext,
  target: Target,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { store, faults } = context;
  const shape = shapeFor(store, target, request);
  switch (target.verb) {
    case "get": {
      if (target.subresource === "log") return sendLog(store, context.logs, target, response);
      const object = inVersion(store.get(target.resourceName, target.namespace, target.name), target);
      return sendJson(response, 200, shape.object(object));
    }
    case "list":
      return sendJson(response, 200, shape.page(listPage(store, faults, target)));
    case "watch":
      return openWatch(context, target, response, shape.object);
    default: {
      const { code, body } = await write(store, target, request, response);
      return sendJson(response, code, body);
    }
  }
}

/** How a client that reads wants to see objects: as they are, or as a Table. */
interface Shape {
  object(object: KubeObject): JsonObject;
  page(page: Page): JsonObject;
}

function shapeFor(store: Store, target: Target, request: IncomingMessage): Shape {
  if (!wantsTable(request.headers.accept))
    return { object: (object) => object, page: (page) => listDocument(target, page) };
  const { resource, version, query } = target;
  const includeObject = query.get("includeObject") || "Metadata";
  const table = (objects: readonly KubeObject[], metadata: JsonObject) =>
    tableOf(resource, version, objects, { now: store.now(), includeObject, metadata });
  return {
    object: (object) => table([object], { resourceVersion: object.metadata.resourceVersion }),
    page: ({ items, metadata }) => table(items, metadata),
  };
}

function openWatch(
  { store, faults, streams, watch }: HandlerContext,
  target: Target,
  response: ServerResponse,
  render: Render,
): void {
  const plan = planWatch(store, target);
  const stream = new WatchStream(target, response);
  streams.add(stream);
  stream.onClose(() => streams.delete(stream));
  runWatch(store, faults, stream, plan, render, watch);
}

function write(
  store: Store,
  target: Target,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Reply> {
  switch (target.verb) {
    case "create":
      return create(store, target, request, response);
    case "update":
      return update(store, target, request, response);
    case "patch":
      return patch(store, target, request, response);
    case "delete":
      return remove(store, target, request);
    case "deletecollection":
      return removeCollection(store, target, request);
    default:
      throw methodNotAllowed();
  }
}
