/** One watch: from a resource version until the server, the network or silence ends it. */
import type { Clock } from "../model/clock.ts";
import type { Api } from "./api.ts";
import { ApiError } from "./api-error.ts";
import { type Fields, field, isRecord, text } from "./fields.ts";

export interface WatchRequest {
  readonly action: string;
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** The server is asked to end the watch after so long. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface WatchHandler {
  /** False: the object cannot be told from others, so what the event meant is lost. */
  event(type: "ADDED" | "MODIFIED" | "DELETED", object: Fields): boolean;
  /** Everything up to this resource version has been seen. */
  seen(resourceVersion: string): void;
  /** Something odd that does not end the watch, or a line that does. */
  problem(problem: string): void;
  /** Longest silence that is still life, asked again after every byte: bookmarks make it short. */
  silenceMs(): number;
  /** The server sends bookmarks. */
  bookmark(): void;
  bytes(): void;
}

/**
 * "ended": go on where it stopped. "relist": something was missed (410 in any of its forms, or an event that
 * could not be read), so only a new list tells the truth. Rejects when it breaks in any other way.
 */
export async function watch(
  api: Api,
  clock: Clock,
  request: WatchRequest,
  handler: WatchHandler,
): Promise<"ended" | "relist"> {
  const query = {
    ...request.query,
    watch: "1",
    allowWatchBookmarks: "true",
    timeoutSeconds: `${Math.ceil(request.timeoutMs / 1000)}`,
  };
  const end = new AbortController();
  const abort = () => end.abort();
  request.signal.addEventListener("abort", abort);
  if (request.signal.aborted) abort();
  /** Why we ended it ourselves; undefined while nobody has. */
  let verdict: "relist" | Error | undefined;
  const finish = (why: "relist" | Error) => {
    verdict ??= why;
    end.abort();
  };
  let heard = clock.now();
  const watchdog = async () => {
    while (!end.signal.aborted) {
      heard = Math.min(heard, clock.now()); // the wall clock may be set back
      const left = heard + handler.silenceMs() - clock.now();
      if (left <= 0) {
        const ms = clock.now() - heard;
        return finish(new Error(`${request.action}: nothing heard for ${ms} ms: the connection is dead`));
      }
      await clock.sleep(left, end.signal);
    }
  };
  const onLine = (line: string) => {
    const why = readLine(request.action, line, handler);
    if (why !== undefined) finish(why);
  };
  const onBytes = () => {
    heard = clock.now();
    handler.bytes();
  };
  void watchdog();
  try {
    await api.lines({ ...request, query, signal: end.signal }, onLine, onBytes);
  } catch (error) {
    verdict ??= error as Error;
  } finally {
    end.abort();
    request.signal.removeEventListener("abort", abort);
  }
  // Asked last: a line that ends the watch may come together with the stream's proper end.
  if (verdict instanceof Error) throw verdict;
  return verdict ?? "ended";
}

/** Undefined: read on. Anything else ends the watch. */
function readLine(action: string, line: string, handler: WatchHandler): "relist" | Error | undefined {
  const event = parseLine(line);
  const type = text(field(event, "type"));
  const object = field(event, "object");
  if (type === "ERROR") {
    const code = field(object, "code");
    const error = new ApiError(action, typeof code === "number" ? code : 0, object);
    return error.expired ? "relist" : error;
  }
  if (type === undefined || !isRecord(object)) {
    handler.problem("a line of the watch is not an event");
    return "relist";
  }
  const version = text(field(field(object, "metadata"), "resourceVersion"));
  if (type === "ADDED" || type === "MODIFIED" || type === "DELETED") {
    if (!handler.event(type, object)) {
      handler.problem("an event's object has no name or uid");
      return "relist";
    }
  } else if (type === "BOOKMARK") {
    handler.bookmark();
  } else {
    handler.problem(`unknown event type ${JSON.stringify(type.slice(0, 40))}`);
  }
  if (version) handler.seen(version);
  return undefined;
}

function parseLine(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
