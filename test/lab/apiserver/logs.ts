/** GET pods/NAME/log. */

import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { arrayOr, at, stringOr } from "./json.ts";
import type { KubeObject } from "./object.ts";
import type { Target } from "./paths.ts";
import { badRequest } from "./status.ts";
import type { Store } from "./store.ts";

export interface LogOptions {
  /** Go on until the container ends or the reader leaves, which aborts `signal`. */
  readonly follow: boolean;
  readonly tailLines?: number;
  readonly sinceSeconds?: number;
  readonly limitBytes?: number;
  readonly timestamps: boolean;
  /** The log of the container's previous run. */
  readonly previous: boolean;
  readonly signal: AbortSignal;
}

/** Pieces of text as they are written, line ends included. Undefined: that container has no log. */
export type LogSource = (
  namespace: string,
  pod: string,
  container: string,
  options: LogOptions,
) => AsyncIterable<string> | undefined;

export async function sendLog(
  store: Store,
  logs: LogSource | undefined,
  target: Target,
  response: ServerResponse,
): Promise<void> {
  const { namespace = "", name } = target;
  const container = chooseContainer(store.get("pods", namespace, name), target.query.get("container") ?? "");
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  const text = logs?.(namespace, name, container, readOptions(target.query, gone.signal));
  if (text === undefined) {
    throw badRequest(`container "${container}" in pod "${name}" is waiting to start: ContainerCreating`);
  }
  response.writeHead(200, { "content-type": "text/plain" });
  response.flushHeaders();
  for await (const piece of text) {
    if (gone.signal.aborted) return;
    if (!response.write(piece)) await Promise.race([once(response, "drain"), once(response, "close")]);
  }
  response.end();
}

function chooseContainer(pod: KubeObject, asked: string): string {
  const names = (field: string) =>
    arrayOr(at(pod, field)).map((container) => stringOr(at(container, "name")));
  const all = names("spec.containers");
  const [first = "", ...others] = all;
  const podName = pod.metadata.name;
  if (asked === "" && others.length > 0) {
    throw badRequest(
      `a container name must be specified for pod ${podName}, choose one of: [${all.join(" ")}]`,
    );
  }
  if (asked !== "" && ![...all, ...names("spec.initContainers")].includes(asked)) {
    throw badRequest(`container ${asked} is not valid for pod ${podName}`);
  }
  return asked || first;
}

function readOptions(query: URLSearchParams, signal: AbortSignal): LogOptions {
  const flag = (name: string) => ["true", "1"].includes(query.get(name) ?? "");
  const number = (name: string) => {
    const text = query.get(name);
    if (text === null) return undefined;
    if (!/^\d+$/.test(text)) throw badRequest(`${name} ${text} is not a number`);
    return Number(text);
  };
  const since = query.get("sinceTime");
  const sinceSeconds =
    since === null ? number("sinceSeconds") : Math.max(0, Date.now() - Date.parse(since)) / 1000;
  const [tailLines, limitBytes] = [number("tailLines"), number("limitBytes")];
  return {
    follow: flag("follow"),
    timestamps: flag("timestamps"),
    previous: flag("previous"),
    signal,
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(sinceSeconds === undefined ? {} : { sinceSeconds }),
    ...(limitBytes === undefined ? {} : { limitBytes }),
  };
}
