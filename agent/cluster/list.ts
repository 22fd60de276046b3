/** A whole list of one resource, page by page, so that neither side holds 10,000 full objects at once. */
import type { Api } from "./api.ts";
import { ApiError } from "./api-error.ts";
import { field, isRecord, text } from "./fields.ts";

export interface ListRequest {
  readonly action: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

const PAGE = 500;
/** A server that never ends a list must not keep the agent in it for ever. */
const MAX_PAGES = 10_000;

/**
 * Hands every item to a collector and returns the collector with the list's resource version. Continue tokens
 * expire with etcd's compaction (5 minutes); then a new collector starts over, the second time without pages.
 */
export async function list<C>(
  api: Api,
  request: ListRequest,
  collector: () => { readonly collected: C; add(item: unknown): void },
): Promise<{ readonly collected: C; readonly resourceVersion: string }> {
  for (const limit of [PAGE, PAGE, 0]) {
    const { collected, add } = collector();
    const pages = await readPages(api, request, limit, add);
    if (pages !== "expired") return { collected, resourceVersion: pages.resourceVersion };
  }
  throw new Error(`${request.action}: even a list without pages expired: look at the API server's etcd`);
}

async function readPages(
  api: Api,
  request: ListRequest,
  limit: number,
  add: (item: unknown) => void,
): Promise<"expired" | { readonly resourceVersion: string }> {
  let token = "";
  for (let page = 0; page < MAX_PAGES; page++) {
    const query = {
      ...request.query,
      ...(limit && { limit: `${limit}` }),
      ...(token && { continue: token }),
    };
    const body = await api.json({ ...request, query }).catch((error: unknown) => {
      if (token !== "" && error instanceof ApiError && error.expired) return "expired" as const;
      throw error;
    });
    if (body === "expired") return body;
    const metadata = field(body, "metadata");
    const found = field(body, "items");
    const items = found === null ? [] : found; // null is how Go writes an empty list
    const resourceVersion = text(field(metadata, "resourceVersion"));
    // Anything but a list with a version is no list: "empty" would open what the objects guard.
    if (!isRecord(body) || !Array.isArray(items) || !resourceVersion) {
      throw new Error(`${request.action}: the answer is not a list: look for a proxy in between`);
    }
    for (const item of items) add(item);
    token = text(field(metadata, "continue")) ?? "";
    if (token === "") return { resourceVersion };
  }
  throw new Error(
    `${request.action}: the list does not end after ${MAX_PAGES} pages: look at the API server`,
  );
}
