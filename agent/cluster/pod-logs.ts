/** What the pods of a selector write: the logs of all of them, those that come later too, without gaps or repeats. */
import type { Clock } from "../model/clock.ts";
import { nameKey, type Pod } from "../model/objects.ts";
import type { Api } from "./api.ts";
import { ApiError } from "./api-error.ts";
import { list } from "./list.ts";
import type { Log } from "./log.ts";
import { readMetadata } from "./metadata.ts";
import { parsePod } from "./parse-pod.ts";
import { Reflector } from "./reflector.ts";

export interface PodLogsOptions {
  readonly api: Api;
  readonly clock: Clock;
  /** Where trouble is told that passes. */
  readonly log: Log;
  readonly namespace: string;
  readonly labelSelector: string;
  readonly container: string;
  /** Where in each log to begin: a time in ms since 1970, or so many lines before its end. */
  readonly from: { readonly time: number } | { readonly lastLines: number };
  readonly onLine: (line: string) => void;
}

/** A server asked again sends again what it has of the last seconds; lines known by their text are left out. */
const REMEMBERED_LINES = 5_000;
const OVERLAP_S = 5;
const RETRY_MS = 1_000;

/** What there is now, pod after pod. @returns how many pods there are. @throws ApiError */
export async function readPodLogs(options: PodLogsOptions): Promise<number> {
  const pods = await listPods(options);
  const { signal } = new AbortController();
  for (const pod of pods) {
    const request = logRequest(options, pod, begin(options), false, signal);
    await options.api
      .lines(request, options.onLine, () => {})
      .catch((error: unknown) => {
        // Not started yet, or gone meanwhile: it has nothing to say.
        if (!(error instanceof ApiError && (error.status === 400 || error.status === 404))) throw error;
      });
  }
  return pods.length;
}

/** Follows until `signal` aborts. `onPods` is told how many there are at first. @throws ApiError before the first line. */
export async function followPodLogs(
  options: PodLogsOptions,
  signal: AbortSignal,
  onPods: (count: number) => void,
): Promise<void> {
  // Asked once before anything is repeated for ever: what is refused now will be refused tomorrow.
  onPods((await listPods(options)).length);
  const followers = new Map<string, AbortController>();
  const reflector = new Reflector(podsResource(options), {
    ...options,
    onChange: () => {
      const running = reflector.values().filter(({ completed }) => !completed);
      for (const pod of running) {
        if (followers.has(pod.uid)) continue;
        const stop = new AbortController();
        followers.set(pod.uid, stop);
        void follow(options, pod, AbortSignal.any([signal, stop.signal]));
      }
      const uids = new Set(running.map(({ uid }) => uid));
      for (const [uid, stop] of followers) {
        if (uids.has(uid)) continue;
        followers.delete(uid);
        // Its last words may still be on the way: the stream ends by itself, and is not opened again.
        stop.abort();
      }
    },
  });
  reflector.start();
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve());
  });
  await reflector.stop();
}

/** One pod, for as long as it is there. `gone` ends it after the stream that is open, not before. */
async function follow(options: PodLogsOptions, pod: Pod, gone: AbortSignal): Promise<void> {
  const { api, clock, log } = options;
  const seen = new RecentLines(REMEMBERED_LINES);
  const stop = new AbortController();
  gone.addEventListener("abort", () => setTimeout(() => stop.abort(), RETRY_MS).unref());
  let query = begin(options);
  let last = clock.now();
  let failure = "";
  let again = false;
  const onLine = (line: string) => {
    last = clock.now();
    if (seen.add(line) || !again) options.onLine(line);
  };
  while (!gone.aborted) {
    try {
      await api.lines(logRequest(options, pod, query, true, stop.signal), onLine, () => {});
      failure = "";
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (!gone.aborted && message !== failure) {
        log("warn", "cannot read a log", { pod: nameKey(pod), error: message });
      }
      failure = message;
    }
    await clock.sleep(RETRY_MS, gone);
    again = true;
    query = { sinceSeconds: `${Math.ceil((clock.now() - last) / 1000) + OVERLAP_S}` };
  }
}

type Query = Readonly<Record<string, string>>;

function begin({ from, clock }: PodLogsOptions): Query {
  if ("lastLines" in from) return { tailLines: `${from.lastLines}` };
  return { sinceSeconds: `${Math.max(1, Math.ceil((clock.now() - from.time) / 1000))}` };
}

function logRequest(options: PodLogsOptions, pod: Pod, query: Query, follow: boolean, signal: AbortSignal) {
  const path = `${podsPath(options.namespace)}/${encodeURIComponent(pod.name)}/log`;
  return {
    action: `get pods/log of ${nameKey(pod)}`,
    path,
    query: { container: options.container, follow: `${follow}`, ...query },
    signal,
  };
}

function podsPath(namespace: string): string {
  return `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`;
}

function podsResource({ namespace, labelSelector }: PodLogsOptions) {
  return {
    name: "pods",
    label: `pods in ${namespace}`,
    paths: [podsPath(namespace)] as const,
    query: { labelSelector },
    parse: parsePod,
  };
}

async function listPods(options: PodLogsOptions): Promise<readonly Pod[]> {
  const { name, paths, query, parse } = podsResource(options);
  const { signal } = new AbortController();
  const request = { action: `list ${name} in ${options.namespace}`, path: paths[0], query, signal };
  const { collected } = await list(options.api, request, () => {
    const pods: Pod[] = [];
    const add = (item: unknown) => {
      const metadata = readMetadata(item);
      if (metadata !== undefined)
        pods.push(parse(item as object as Record<string, unknown>, metadata, () => {}));
    };
    return { collected: pods, add };
  });
  return collected;
}

/** Knows the last lines by their text. */
class RecentLines {
  readonly #most: number;
  readonly #lines = new Set<string>();

  constructor(most: number) {
    this.#most = most;
  }

  /** True if the line is new. */
  add(line: string): boolean {
    if (this.#lines.has(line)) return false;
    this.#lines.add(line);
    if (this.#lines.size > this.#most) {
      const [oldest] = this.#lines;
      if (oldest !== undefined) this.#lines.delete(oldest);
    }
    return true;
  }
}
