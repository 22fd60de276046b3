/** One request: documents about the API itself, or a verb on a resource. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { discoveryDocument } from "./discovery.ts";
import type { Faults } from "./faults.ts";
import { inVersion, listDocument, listPage } from "./list.ts";
import { type LogSource, sendLog } from "./logs.ts";
import { parseTarget, type Target } from "./paths.ts";
import { sendJson, sendText } from "./respond.ts";
import { methodNotAllowed } from "./status.ts";
import type { Store } from "./store.ts";
import { planWatch, runWatch, type WatchSettings } from "./watch.ts";
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
  const url = new URL(request.url ?? "/", "http://localhost");
  if (["/healthz", "/livez", "/readyz"].includes(url.pathname))
    return sendText(response, 200, "text/plain", "ok");
  const document = discoveryDocument(context.store.catalog, url.pathname);
  if (document !== undefined) {
    if (method !== "GET" && method !== "HEAD") throw methodNotAllowed();
    return sendJson(response, 200, document);
  }
  const target = parseTarget(context.store.catalog, method, url);
  if (!(await context.faults.strike(target, request, response))) return;
  await serve(context, target, request, response);
}

async function serve(
  context: HandlerContext,
  target: Target,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { store, faults } = context;
  switch (target.verb) {
    case "get":
      if (target.subresource === "log") return sendLog(store, context.logs, target, response);
      return sendJson(
        response,
        200,
        inVersion(store.get(target.resourceName, target.namespace, target.name), target),
      );
    case "list":
      return sendJson(response, 200, listDocument(target, listPage(store, faults, target)));
    case "watch":
      return openWatch(context, target, response);
    default: {
      const { code, body } = await write(store, target, request);
      return sendJson(response, code, body);
    }
  }
}

function openWatch(
  { store, faults, streams, watch }: HandlerContext,
  target: Target,
  response: ServerResponse,
): void {
  const plan = planWatch(store, target);
  const stream = new WatchStream(target, response);
  streams.add(stream);
  stream.onClose(() => streams.delete(stream));
  runWatch(store, faults, stream, plan, (object) => object, watch);
}

function write(store: Store, target: Target, request: IncomingMessage): Promise<Reply> {
  switch (target.verb) {
    case "create":
      return create(store, target, request);
    case "update":
      return update(store, target, request);
    case "delete":
      return remove(store, target, request);
    case "deletecollection":
      return removeCollection(store, target, request);
    default:
      throw methodNotAllowed();
  }
}
