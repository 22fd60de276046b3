/** The store of last valid policies on a real directory. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type FileSystem, LastValidStore } from "../../../agent/guard/last-valid.ts";

const object = { kind: "CloudEndpoint", namespace: "payments", name: "edge", uid: "uid-1" };
const other = { ...object, name: "other", uid: "uid-2" };
const document = { on_tcp_connect: [{ actions: [{ type: "deny" }] }] };

let root = "";
let directory = "";
let errors: string[] = [];
beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), "podgate-last-valid-"));
  directory = join(root, "state", "policies");
  errors = [];
});
afterEach(() => fs.rmSync(root, { recursive: true, force: true }));

const open = (fileSystem: FileSystem = fs) =>
  new LastValidStore(directory, fileSystem, (error) => errors.push(error.message));
const files = () => fs.readdirSync(directory);

describe("the store of last valid policies", () => {
  test("remembers over a restart, by kind, namespace, name and uid", () => {
    open().set(object, document);
    const store = open();
    expect(store.get(object)).toEqual(document);
    expect(store.get({ ...object, uid: "uid-3" })).toBeUndefined();
    expect(store.get({ ...object, namespace: "payment", name: "s/edge" })).toBeUndefined();
    expect(errors).toEqual([]);
  });

  test("keeps its files to itself and leaves no temporary one", () => {
    open().set(object, document);
    const [name = ""] = files();
    expect(files()).toHaveLength(1);
    expect(fs.statSync(join(directory, name)).mode & 0o777).toBe(0o600);
    expect(fs.statSync(directory).mode & 0o777).toBe(0o700);
  });

  test("replaces, forgets and retains", () => {
    const store = open();
    store.set(object, document);
    store.set(object, { on_tcp_connect: [] });
    store.set(other, document);
    expect(open().get(object)).toEqual({ on_tcp_connect: [] });
    store.retain([other]);
    expect([open().get(object), open().get(other)]).toEqual([undefined, document]);
    store.set(other, undefined);
    expect(files()).toEqual([]);
  });

  test("writes only what changed", () => {
    let writes = 0;
    const counting = {
      ...fs,
      writeFileSync: ((...args) => {
        writes++;
        fs.writeFileSync(...args);
      }) as typeof fs.writeFileSync,
    };
    open(counting).set(object, document);
    const restarted = open(counting);
    restarted.set(object, structuredClone(document));
    restarted.set(object, document);
    expect(writes).toBe(1);
  });

  test.each([
    "",
    "{",
    "null",
    "[]",
    '{"key":"CloudEndpoint/payments/edge/uid-1"}',
    '{"key":7,"document":{}}',
  ])("takes a corrupted file for none, and reports it: %j", (text) => {
    open().set(object, document);
    const [name = ""] = files();
    fs.writeFileSync(join(directory, name), text);
    const store = open();
    expect(store.get(object)).toBeUndefined();
    expect(errors).toEqual([expect.stringMatching(`^read last valid policy \`${name}\`: `)]);
    store.set(object, document);
    expect(open().get(object)).toEqual(document);
  });

  test("believes no file under another object's name", () => {
    const store = open();
    store.set(object, document);
    const [mine = ""] = files();
    store.set(other, { on_tcp_connect: [] });
    const [theirs = ""] = files().filter((name) => name !== mine);
    fs.copyFileSync(join(directory, theirs), join(directory, mine));
    expect(open().get(object)).toBeUndefined();
    expect(errors).toHaveLength(1);
  });

  test("removes what a crash left half written", () => {
    open();
    fs.writeFileSync(join(directory, "x.json.tmp"), "{");
    open();
    expect(files()).toEqual([]);
    expect(errors).toEqual([]);
  });

  test("goes on with what it knows where it cannot write, and says so once for each document", () => {
    const full = {
      ...fs,
      writeFileSync: () => {
        throw new Error("ENOSPC: no space left on device");
      },
    };
    const store = open(full);
    store.set(object, document);
    store.set(object, document);
    expect(store.get(object)).toEqual(document);
    expect(errors).toEqual([
      "write last valid policy of CloudEndpoint/payments/edge: ENOSPC: no space left on device",
    ]);
    store.set(object, { on_tcp_connect: [] });
    expect(errors).toHaveLength(2);
  });

  test("keeps the older file where a newer one cannot be put in its place", () => {
    open().set(object, document);
    const stuck = {
      ...fs,
      renameSync: () => {
        throw new Error("EIO");
      },
    };
    open(stuck).set(object, { on_tcp_connect: [] });
    expect(open().get(object)).toEqual(document);
  });

  test("starts without a directory that cannot be made", () => {
    fs.writeFileSync(join(root, "state"), "a file is in the way");
    const store = open();
    expect(errors).toEqual([expect.stringContaining("make state directory")]);
    store.set(object, document);
    expect(store.get(object)).toEqual(document);
  });
});
