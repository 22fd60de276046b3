import { beforeEach, expect, test } from "vitest";
import type { OnAcceptError } from "../../../agent/dataplane/native.ts";
import { Listeners, type PodPlace } from "../../../agent/proxy/listeners.ts";

const pod = (cookie: bigint, podUid = `uid-${cookie}`): PodPlace => ({ cookie, podUid, cgroup: podUid });

let done: string[];
let connected: boolean;
let failure: ((place: PodPlace) => Error | undefined) | undefined;
let mapFailure: Error | undefined;
const overLimit = new Set<string>();
let acceptorErrors: OnAcceptError[];
const failures: string[] = [];

class Acceptor {
  readonly #fd: number;
  constructor(fd: number, _: unknown, onError: OnAcceptError) {
    this.#fd = fd;
    acceptorErrors.push(onError);
  }
  close() {
    done.push(`close ${this.#fd}`);
  }
}

function listeners(): Listeners {
  return new Listeners({
    native: { Acceptor, closeDescriptor: (fd) => done.push(`close ${fd}`) },
    sockets: {
      get connected() {
        return connected;
      },
      watch: async ({ cookie }) => {
        done.push(`watch ${cookie}`);
      },
      release: ({ cookie }) => done.push(`release ${cookie}`),
      listen: async (place) => {
        const error = failure?.(place as PodPlace);
        if (error !== undefined) throw error;
        const at = Number(place.cookie) * 10;
        done.push(`listen ${place.cookie}`);
        return { ipv4: { fd: at, port: 4000 + at }, ipv6: { fd: at + 1, port: 6000 + at } };
      },
    },
    ports: {
      put: (cookie, { port4, port6, overLimit }) => {
        if (mapFailure !== undefined) throw mapFailure;
        done.push(`put ${cookie} ${port4} ${port6}${overLimit ? " over limit" : ""}`);
      },
      delete: (cookie) => done.push(`delete ${cookie}`),
    },
    onConnection: () => {},
    isOverLimit: (podUid) => overLimit.has(podUid),
    onFailure: ({ podUid }, error) => failures.push(`${podUid}: ${error.message}`),
  });
}

beforeEach(() => {
  done = [];
  connected = true;
  failure = undefined;
  mapFailure = undefined;
  acceptorErrors = [];
  failures.length = 0;
  overLimit.clear();
});

test("the kernel learns of a listener that is there, and forgets it before it goes", async () => {
  const all = listeners();
  await all.want([pod(1n), pod(2n)]);
  await all.want([pod(1n), pod(2n)]);
  await all.want([pod(2n)]);
  expect(done).toEqual([
    "listen 1",
    "listen 2",
    "put 1 4010 6010",
    "put 2 4020 6020",
    "delete 1",
    "close 10",
    "close 11",
    "release 1",
  ]);
  expect(all.size).toBe(1);
});

test("the kernel learns, once, who has as many connections as it may", async () => {
  const all = listeners();
  await all.want([pod(1n), pod(2n)]);
  done.length = 0;
  overLimit.add("uid-1");
  all.refresh("uid-1");
  await all.want([pod(2n)]);
  await all.want([pod(1n), pod(2n)]);
  overLimit.clear();
  all.refresh(undefined);
  all.refresh("uid-1");
  expect(done.filter((what) => what.startsWith("put"))).toEqual([
    "put 1 4010 6010 over limit",
    "put 1 4010 6010 over limit",
    "put 1 4010 6010",
  ]);
});

test("a namespace that another pod has gets a listener of its own", async () => {
  const all = listeners();
  await all.want([pod(1n, "a")]);
  done = [];
  await all.want([pod(1n, "b")]);
  expect(done).toEqual(["delete 1", "close 10", "close 11", "release 1", "listen 1", "put 1 4010 6010"]);
});

test("a pod that cannot be entered is reported once, and tried again", async () => {
  const all = listeners();
  failure = ({ cookie }) => (cookie === 1n ? new Error("EPERM") : undefined);
  await all.want([pod(1n), pod(2n)]);
  await all.want([pod(1n), pod(2n)]);
  expect(failures).toEqual(["uid-1: EPERM"]);
  expect(all.size).toBe(1);
  failure = undefined;
  await all.want([pod(1n), pod(2n)]);
  expect(all.size).toBe(2);
  failure = () => new Error("EPERM");
  await all.want([pod(2n)]);
  await all.want([pod(1n), pod(2n)]);
  expect(failures).toHaveLength(2);
});

test("a map without room leaves no socket behind", async () => {
  const all = listeners();
  mapFailure = new Error("E2BIG");
  await all.want([pod(1n)]);
  expect(done).toEqual(["listen 1", "close 10", "close 11"]);
  expect(failures).toEqual(["uid-1: E2BIG"]);
  expect(all.size).toBe(0);
});

test("a broker that comes back is told where there are listeners", async () => {
  const all = listeners();
  await all.want([pod(1n), pod(2n), pod(3n)]);
  await all.want([pod(1n), pod(3n)]);
  done = [];
  await all.watch();
  expect(done).toEqual(["watch 1", "watch 3"]);
});

test("a listener that breaks is replaced", async () => {
  const all = listeners();
  await all.want([pod(1n)]);
  const error = (code: string) => Object.assign(new Error(code), { code, operation: "accept" });
  acceptorErrors[0]?.(error("EMFILE"), false);
  expect(all.size).toBe(1);
  acceptorErrors[0]?.(error("EINVAL"), true);
  expect(all.size).toBe(0);
  expect(done.slice(-4)).toEqual(["delete 1", "close 10", "close 11", "release 1"]);
  await all.want([pod(1n)]);
  expect(all.size).toBe(1);
});

test("what the broker makes too late is closed", async () => {
  const all = listeners();
  const wanted = all.want([pod(1n)]);
  all.close();
  await wanted;
  expect(done.filter((what) => what.startsWith("put"))).toEqual([]);
  expect(all.size).toBe(0);
});

test("while the broker is away nothing is opened or reported, and what nobody wants is closed", async () => {
  const all = listeners();
  await all.want([pod(1n)]);
  connected = false;
  await all.want([pod(2n)]);
  expect(all.size).toBe(0);
  expect(failures).toEqual([]);
});
