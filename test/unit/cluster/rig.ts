/** An API server with faults, a clock that runs faster than the wall's, and objects to put into the one. */
import { onTestFinished } from "vitest";
import type { Access } from "../../../agent/cluster/access.ts";
import { Api } from "../../../agent/cluster/api.ts";
import type { Fields } from "../../../agent/cluster/fields.ts";
import { Reflector, type Resource } from "../../../agent/cluster/reflector.ts";
import { type Clock, systemClock } from "../../../agent/model/clock.ts";
import { type ApiServer, type ApiServerOptions, startApiServer } from "../../lab/apiserver/server.ts";

/** Waits pass `factor` times as fast. */
export function fastClock(factor: number): Clock {
  const start = Date.now();
  return {
    now: () => start + (Date.now() - start) * factor,
    sleep: (ms, signal) => systemClock.sleep(ms / factor, signal),
  };
}

export function accessTo(url: string): Access {
  return { server: new URL(url), options: async () => ({}), invalidate: () => {} };
}

export async function waitFor(condition: () => boolean, what: string, ms = 8_000): Promise<void> {
  const end = Date.now() + ms;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited ${ms} ms in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A thing of a CRD named widgets: what a reflector keeps of it is its name, uid and size. */
export interface Widget {
  readonly name: string;
  readonly uid: string;
  readonly size: number;
}

export const WIDGETS = "widgets.example.com";

export const widgets: Resource<Widget> = {
  name: WIDGETS,
  paths: ["/apis/example.com/v1/widgets"],
  custom: true,
  parse: (object, { name, uid }, report) => {
    const { size } = (object.spec ?? {}) as Fields;
    if (size === "boom") throw new Error("boom");
    if (typeof size !== "number") report("spec.size", "is not a number");
    return { name, uid, size: typeof size === "number" ? size : 0 };
  },
};

export function serveWidgets(server: ApiServer, versions = ["v1"]): void {
  server.store.catalog.put({
    group: "example.com",
    plural: "widgets",
    singular: "widget",
    kind: "Widget",
    listKind: "WidgetList",
    shortNames: [],
    categories: [],
    namespaced: true,
    versions: versions.map((name) => ({ name, subresources: ["status"] })),
    generation: true,
    custom: true,
    selectableFields: [],
  });
}

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** At the end of the test that runs; what was made last is closed first. */
export function atEnd(close: () => Promise<unknown>): void {
  onTestFinished(async () => {
    await close();
  });
}

export async function startServer(options: ApiServerOptions = {}): Promise<ApiServer> {
  const server = await startApiServer(options);
  atEnd(() => server.close());
  return server;
}

export interface RigOptions extends ApiServerOptions {
  readonly speed?: number;
  readonly resource?: Resource<Widget>;
  /** Do not serve widgets yet. */
  readonly uninstalled?: boolean;
}

/** A server with widgets and a reflector of them, not yet started. */
export async function rig({ speed = 50, resource = widgets, uninstalled, ...options }: RigOptions = {}) {
  const server = await startServer(options);
  if (!uninstalled) serveWidgets(server);
  const clock = fastClock(speed);
  const log: LogLine[] = [];
  let changes = 0;
  const reflector = new Reflector(resource, {
    api: new Api(accessTo(server.url), clock),
    clock,
    log: (level, message, fields) => log.push({ level, message, fields }),
    onChange: () => changes++,
  });
  atEnd(() => reflector.stop());
  const names = () => reflector.values().map(({ name }) => name);
  return {
    server,
    reflector,
    log,
    clock,
    names,
    changes: () => changes,
    problems: () => log.filter(({ message }) => message === "odd object from the API server"),
    create: (name: string, size: unknown = 1) =>
      server.store.create(WIDGETS, { metadata: { name }, spec: { size } }),
    resize: (name: string, size: unknown) =>
      server.store.modify(WIDGETS, "default", name, (object) => {
        object.spec = { size };
      }),
    remove: (name: string) => server.store.delete(WIDGETS, "default", name),
    /** Started, listed, and its watch is open. */
    async start() {
      reflector.start();
      // An empty line is none to the reader, and counts the watches that are open.
      const open = () => server.faults.sendLine("", { resource: WIDGETS }) > 0;
      await waitFor(() => reflector.synced && open(), "the first list and watch");
    },
    has: (...wanted: string[]) =>
      waitFor(() => wanted.every((name) => names().includes(name)), `${wanted} among ${names()}`),
    lacks: (name: string) => waitFor(() => !names().includes(name), `no ${name} among ${names()}`),
  };
}
