import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { FdChannel, Netns, OnAcceptError } from "../../../agent/dataplane/native.ts";
import { Broker } from "../../../agent/proxy/broker.ts";

/** A broker whose kernel is imagined, and what it did. `listing`: the error that it comes to. */
function imagine(listing = new Error("no listing is asked for")) {
  const done: string[] = [];
  const list = () => ({ next: (failed: (error: Error) => void) => failed(listing), close: () => {} });
  const directory = mkdtempSync(join(tmpdir(), "broker-"));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  let welcome = (_: FdChannel): void => {};
  let acceptError: OnAcceptError = () => {};
  const broker = new Broker(
    {
      Netns: { open: () => ({ cookie: 1n, list, close: () => {} }) as unknown as Netns },
      listenChannel: (_, onChannel, onError) => {
        welcome = onChannel;
        acceptError = onError;
        return { close: () => done.push("close") };
      },
      cgroupId: () => 1n,
      closeDescriptor: (fd) => done.push(`close ${fd}`),
    },
    {
      socketPath: join(directory, "socket"),
      cgroupRoot: tmpdir(),
      uid: 0,
      onBroken: (error) => done.push(`broken: ${error.message}`),
      log: (level, message) => done.push(`${level}: ${message}`),
    },
  );
  const connect = (uid: number, name: string) => {
    let hear = (_: Buffer, __: number[]): void => {};
    welcome({
      peer: { pid: 1, uid, gid: uid },
      send: (message) => done.push(`${name} hears ${Buffer.from(message)}`),
      receive: (onMessage) => {
        hear = onMessage;
      },
      close: () => done.push(`close ${name}`),
    });
    return (text: string, descriptors: number[] = []) => hear(Buffer.from(text), descriptors);
  };
  return {
    done,
    broker,
    connect,
    acceptError: (code: string, isOver: boolean) =>
      acceptError(Object.assign(new Error(code), { code, operation: "accept" }), isOver),
  };
}

test("a process of another user is turned away unheard", () => {
  const { done, broker, connect } = imagine();
  connect(1000, "stranger")('{"id":1}');
  expect(done).toEqual(["warn: a process of another user was turned away", "close stranger"]);
  broker.close();
});

test("a stranger does not take the agent's place, another agent does", () => {
  const { done, broker, connect } = imagine();
  const ask = connect(0, "first");
  connect(1000, "stranger");
  ask('{"id":1}');
  expect(done.at(-1)).toMatch(/^first hears \{"id":1,"error":/);
  connect(0, "second");
  expect(done).toContain("close first");
  broker.close();
  expect(done.slice(-2)).toEqual(["close", "close second"]);
});

test("descriptors that somebody sends are closed", () => {
  const { done, broker, connect } = imagine();
  connect(0, "agent")("nonsense", [7, 8]);
  expect(done.slice(1)).toEqual(["close 7", "close 8", "warn: a message was no request"]);
  broker.close();
});

test("a socket that is over ends the broker, a shortage does not", () => {
  const { done, broker, acceptError } = imagine();
  acceptError("EMFILE", false);
  acceptError("EBADF", true);
  expect(done).toEqual(["warn: an agent could not be welcomed", "broken: EBADF"]);
  broker.close();
});

test("where the kernel tells no socket's cgroup, nothing of the node's namespace is listed; other failures are said", async () => {
  const pod = mkdtempSync(join(tmpdir(), "podgate-pod-"));
  try {
    for (const [code, heard] of [
      ["EOPNOTSUPP", '{"id":1,"connections":[],"more":false}'],
      ["EAGAIN", '{"id":1,"error":"EAGAIN"}'],
    ] as const) {
      const { done, broker, connect } = imagine(Object.assign(new Error(code), { code }));
      connect(0, "agent")(JSON.stringify({ id: 1, op: "connections", cgroup: basename(pod), cookie: "1" }));
      await new Promise((resolve) => setImmediate(resolve));
      expect(done.slice(1)).toEqual([
        ...(code === "EOPNOTSUPP" ? ["warn: open connections of hostNetwork pods stay open"] : []),
        `agent hears ${heard}`,
      ]);
      broker.close();
    }
  } finally {
    rmSync(pod, { recursive: true });
  }
});
