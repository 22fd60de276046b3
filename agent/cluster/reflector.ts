/** Keeps what the agent knows of one resource equal to what the API server says, for ever, whatever fails. */
import type { Clock } from "../model/clock.ts";
import { nameKey } from "../model/objects.ts";
import type { Api } from "./api.ts";
import { ApiError } from "./api-error.ts";
import { jitter } from "./backoff.ts";
import type { Condition } from "./conditions.ts";
import { type Fields, isRecord } from "./fields.ts";
import { list } from "./list.ts";
import type { Log } from "./log.ts";
import { type Metadata, type Parse, readMetadata } from "./metadata.ts";
import { Problems } from "./problems.ts";
import { Recovery, type Step } from "./recovery.ts";
import { type Entry, Store, successor } from "./store.ts";
import { type WatchHandler, watch } from "./watch.ts";

export interface Resource<T> {
  /** As RBAC and messages name it: "pods", "agentendpoints.ngrok.k8s.ngrok.com". */
  readonly name: string;
  /** Names it where a resource is watched twice; else `name`. */
  readonly label?: string;
  /** Where it is served; of several, the first that the server has. */
  readonly paths: readonly [string, ...string[]];
  readonly query?: Readonly<Record<string, string>>;
  /** A custom resource: that the server does not have it is a state of affairs, not an error. */
  readonly custom?: boolean;
  readonly parse: Parse<T>;
  /** Where the agent also writes the status, what it says now. */
  readonly conditions?: (object: Fields) => readonly Condition[];
}

export interface ReflectorHealth {
  readonly resource: string;
  /** It has listed once, or the server does not serve it. */
  readonly synced: boolean;
  /** False while the server does not have the resource. */
  readonly served: boolean;
  /** Undefined while all is well. */
  readonly lastError: string | undefined;
  /** When the server last said anything, in ms since 1970; 0: never. */
  readonly lastContact: number;
}

export interface ReflectorOptions {
  readonly api: Api;
  readonly clock: Clock;
  readonly log: Log;
  /** Something in `values` or `synced` has changed: look again. */
  readonly onChange: () => void;
  /** 0 to 1; decides waits only. */
  readonly random?: () => number;
}

/** The API server sends bookmarks about every minute. */
const SILENCE_WITH_BOOKMARKS_MS = 150_000;
/** How long after its own time-out a server that sends none may stay silent. */
const SILENCE_AFTER_TIMEOUT_MS = 30_000;
const ABSENT_RECHECK_MS = 30_000;

export class Reflector<T> {
  readonly #resource: Resource<T>;
  readonly #options: Required<ReflectorOptions>;
  readonly #store = new Store<T>();
  readonly #recovery: Recovery;
  readonly #problems: Problems;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #path: string;
  /** Where the next watch starts; undefined: list first. */
  #version: string | undefined;
  #synced = false;
  #served = true;
  #bookmarks = false;
  #lastError: string | undefined;
  #lastContact = 0;

  constructor(resource: Resource<T>, options: ReflectorOptions) {
    this.#resource = resource;
    this.#options = { random: Math.random, ...options };
    this.#recovery = new Recovery(this.#options.random);
    this.#problems = new Problems(this.#label, options.log);
    [this.#path] = resource.paths;
  }

  /** Every object; the same array until one of them changes. */
  values(): readonly T[] {
    return this.#store.values();
  }

  /** What the object's status says, as last heard. Undefined: no such object, or not this one. */
  conditions(object: Pick<Metadata, "namespace" | "name" | "uid">): readonly Condition[] | undefined {
    const entry = this.#store.get(object);
    return entry?.uid === object.uid ? entry.conditions : undefined;
  }

  get synced(): boolean {
    return this.#synced;
  }

  health(): ReflectorHealth {
    return {
      resource: this.#label,
      synced: this.#synced,
      served: this.#served,
      lastError: this.#lastError,
      lastContact: this.#lastContact,
    };
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Resolves when nothing of it runs any more. What it knows stays readable. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  get #label(): string {
    return this.#resource.label ?? this.#resource.name;
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const wait = this.#version === undefined ? await this.#list() : await this.#watch(this.#version);
      if (wait > 0) await clock.sleep(wait, signal);
    }
  }

  /** Milliseconds until the next step. */
  async #list(): Promise<number> {
    const request = { ...this.#request("list"), query: this.#resource.query ?? {} };
    try {
      const answer = await list(this.#options.api, request, () => {
        const collected = new Map<string, Entry<T>>();
        return { collected, add: (item: unknown) => this.#collect(item, collected) };
      });
      if (this.#stop.signal.aborted) return 0;
      this.#version = answer.resourceVersion;
      this.#heard();
      this.#publish(this.#store.replace(answer.collected), true);
      return 0;
    } catch (error) {
      if (this.#stop.signal.aborted) return 0;
      const missing = this.#resource.custom && error instanceof ApiError && error.status === 404;
      return missing ? this.#missing(error) : this.#follow(error, this.#recovery.listFailed(error));
    }
  }

  #collect(item: unknown, into: Map<string, Entry<T>>): void {
    const metadata = readMetadata(item);
    if (metadata === undefined || !isRecord(item)) {
      this.#problems.report(undefined, "", "an object of the list has no name or uid");
      return;
    }
    const entry = this.#read(item, metadata);
    if (entry !== undefined) into.set(nameKey(metadata), entry);
  }

  /** Milliseconds until the next step. */
  async #watch(version: string): Promise<number> {
    const { api, clock, random } = this.#options;
    const started = clock.now();
    const timeoutMs = 240_000 * (1 + random());
    const query = { ...this.#resource.query, resourceVersion: version };
    const request = { ...this.#request("watch"), query, timeoutMs };
    const handler: WatchHandler = {
      event: (type, object) => this.#event(type, object),
      seen: (resourceVersion) => {
        this.#version = resourceVersion;
      },
      problem: (problem) => this.#problems.report(undefined, "", problem),
      silenceMs: () => (this.#bookmarks ? SILENCE_WITH_BOOKMARKS_MS : timeoutMs + SILENCE_AFTER_TIMEOUT_MS),
      bookmark: () => {
        this.#bookmarks = true;
      },
      bytes: () => this.#heard(),
    };
    try {
      const outcome = await watch(api, clock, request, handler);
      return this.#follow(undefined, this.#recovery.watched(outcome, clock.now() - started));
    } catch (error) {
      if (this.#stop.signal.aborted) return 0;
      return this.#follow(error, this.#recovery.watchFailed(error, clock.now() - started));
    }
  }

  #follow(error: unknown, step: Step): number {
    if (step.relist) this.#version = undefined;
    if (error === undefined) return step.wait;
    const message = error instanceof Error ? error.message : String(error);
    if (this.#lastError !== message) {
      this.#options.log("warn", "cannot read from the API server", { resource: this.#label, error: message });
    }
    this.#lastError = message;
    return step.wait;
  }

  #event(type: "ADDED" | "MODIFIED" | "DELETED", object: Fields): boolean {
    const metadata = readMetadata(object);
    if (metadata === undefined) return false;
    if (type === "DELETED") {
      this.#problems.forget(metadata.uid);
      this.#publish(this.#store.delete(metadata), false);
      return true;
    }
    const entry = this.#read(object, metadata);
    // Unreadable, and nothing known of it: at least what had the name before is gone.
    const changed = entry === undefined ? this.#store.deleteName(metadata) : this.#store.put(metadata, entry);
    this.#publish(changed, false);
    return true;
  }

  /**
   * What is kept of an object. One that cannot be read keeps the last state that could be, because a Service or
   * policy that vanishes opens what it guards; undefined if there is none.
   */
  #read(object: Fields, metadata: Metadata): Entry<T> | undefined {
    const known = this.#store.get(metadata);
    const before = known?.uid === metadata.uid ? known : undefined;
    if (before !== undefined && before.resourceVersion === metadata.resourceVersion) return before;
    try {
      const value = this.#resource.parse(object, metadata, (path, problem) =>
        this.#problems.report(metadata, path, problem),
      );
      if (value !== undefined) return successor(before, metadata, value, this.#resource.conditions?.(object));
      this.#problems.report(metadata, "", "cannot be used");
    } catch (error) {
      this.#problems.report(metadata, "", `cannot be read: ${String(error)}`);
    }
    return before;
  }

  /** The server does not have the resource, perhaps. Once that is sure its objects are gone, and it is waited for. */
  #missing(error: unknown): number {
    const { paths } = this.#resource;
    const next = paths.indexOf(this.#path) + 1;
    this.#path = paths[next] ?? paths[0];
    if (next < paths.length) return 0;
    if (this.#served && !this.#recovery.isAbsent()) return this.#recovery.listFailed(error).wait;
    if (this.#served) {
      this.#options.log("info", "the API server does not serve this resource", { resource: this.#label });
    }
    this.#served = false;
    this.#lastError = undefined;
    this.#lastContact = this.#options.clock.now();
    this.#publish(this.#store.replace(new Map()), true);
    return jitter(ABSENT_RECHECK_MS, this.#options.random);
  }

  #request(verb: string) {
    return { action: `${verb} ${this.#resource.name}`, path: this.#path, signal: this.#stop.signal };
  }

  #heard(): void {
    this.#lastContact = this.#options.clock.now();
    this.#recovery.answered();
    this.#served = true;
    if (this.#lastError === undefined) return;
    this.#lastError = undefined;
    this.#options.log("info", "reading from the API server again", { resource: this.#label });
  }

  #publish(changed: boolean, synced: boolean): void {
    const first = synced && !this.#synced;
    this.#synced ||= synced;
    if (changed || first) this.#options.onChange();
  }
}
