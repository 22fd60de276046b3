/** GET with watch=true: what changes from a version on, as a selector sees it. */
import type { Faults } from "./faults.ts";
import type { Change } from "./history.ts";
import type { JsonObject } from "./json.ts";
import { inVersion, parseVersion } from "./list.ts";
import type { KubeObject } from "./object.ts";
import type { Target } from "./paths.ts";
import { apiVersion } from "./resource.ts";
import { type Predicate, parseSelectors } from "./selectors.ts";
import { ApiError, badRequest } from "./status.ts";
import type { Store } from "./store.ts";
import type { WatchEvent, WatchStream } from "./watch-stream.ts";

export interface WatchSettings {
  /** Between bookmarks; the real server takes about a minute. */
  readonly bookmarkSeconds: number;
}

/** How an object is written into events: as itself or as a Table. */
export type Render = (object: KubeObject) => JsonObject;

/** The checked request. Throws before anything is sent, so that a failure can still be a proper reply. */
export interface WatchPlan {
  readonly backlog: readonly Change[];
  readonly matches: Predicate;
  readonly timeoutSeconds: number;
  readonly bookmarks: boolean;
}

export function planWatch(store: Store, target: Target): WatchPlan {
  const { query, resource } = target;
  if (query.get("sendInitialEvents") !== null) {
    const message =
      "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch: list, then watch";
    throw new ApiError(422, "Invalid", message);
  }
  const version = parseVersion(query.get("resourceVersion") ?? "");
  const selected = parseSelectors(query, resource);
  const matches: Predicate = (object) =>
    (target.namespace ?? object.metadata.namespace) === object.metadata.namespace &&
    (target.name === "" || object.metadata.name === target.name) &&
    selected(object);
  const timeout = Number(query.get("timeoutSeconds") ?? 0);
  if (!Number.isFinite(timeout) || timeout < 0) throw badRequest("timeoutSeconds is not a number");
  return {
    backlog: version === 0 ? everything(store, target) : store.history.since(version),
    matches,
    // Without a wish, the real server's: between 30 and 60 minutes, so that clients do not all return at once.
    timeoutSeconds: timeout || 1800 + Math.random() * 1800,
    bookmarks: ["true", "1"].includes(query.get("allowWatchBookmarks") ?? ""),
  };
}

/** A watch from no version begins with all there is. */
function everything(store: Store, target: Target): Change[] {
  return store.list(target.resourceName, target.namespace).map((object) => ({
    version: Number(object.metadata.resourceVersion),
    resource: target.resourceName,
    type: "ADDED",
    object,
  }));
}

/** Feeds `stream` until its reader leaves or the time is up. */
export function runWatch(
  store: Store,
  faults: Faults,
  stream: WatchStream,
  plan: WatchPlan,
  render: Render,
  settings: WatchSettings,
): void {
  const { target } = stream;
  const deliver = (change: Change) => {
    if (endsServing(change, target)) return stream.end();
    if (change.resource !== target.resourceName) return;
    const event = eventFor(change, plan.matches, (object) => render(inVersion(object, target)));
    if (event !== undefined) faults.events.pass(change, () => stream.send(event));
  };
  const bookmark = () => {
    if (plan.bookmarks) stream.send(bookmarkFor(target, store.history.version));
  };
  for (const change of plan.backlog) deliver(change);
  const unsubscribe = store.history.subscribe(deliver);
  const bookmarks = setInterval(bookmark, settings.bookmarkSeconds * 1000);
  const end = setTimeout(() => {
    bookmark();
    stream.end();
  }, plan.timeoutSeconds * 1000);
  stream.onClose(() => {
    unsubscribe();
    clearInterval(bookmarks);
    clearTimeout(end);
  });
}

/** The CRD is gone: what it defined is no longer served. */
function endsServing({ resource, type, object }: Change, target: Target): boolean {
  const crds = "customresourcedefinitions.apiextensions.k8s.io";
  return resource === crds && type === "DELETED" && object.metadata.name === target.resourceName;
}

/** An object that comes into a selector's view is ADDED to it, one that leaves is DELETED. */
function eventFor(change: Change, matches: Predicate, render: Render): WatchEvent | undefined {
  const { type, object, previous } = change;
  const before = previous !== undefined && matches(previous);
  const after = type !== "DELETED" && matches(object);
  if (after) return { type: before ? "MODIFIED" : "ADDED", object: render(object) };
  if (!before) return undefined;
  // The last state that was in view, with the version of its leaving.
  const { resourceVersion } = object.metadata;
  const last =
    type === "DELETED" ? object : { ...previous, metadata: { ...previous.metadata, resourceVersion } };
  return { type: "DELETED", object: render(last) };
}

function bookmarkFor({ resource, version }: Target, at: number): WatchEvent {
  const object = {
    kind: resource.kind,
    apiVersion: apiVersion(resource.group, version.name),
    metadata: { resourceVersion: String(at), creationTimestamp: null },
  };
  return { type: "BOOKMARK", object };
}
