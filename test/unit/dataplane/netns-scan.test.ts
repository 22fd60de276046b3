import { expect, test } from "vitest";
import { encodeU64, layouts } from "../../../agent/dataplane/abi.ts";
import type { Native } from "../../../agent/dataplane/native.ts";
import { NetnsScan } from "../../../agent/dataplane/netns-scan.ts";

/** A kernel whose scan answers with what `iterate` returns. */
function kernel(iterate: () => Buffer): Native {
  const object = {
    setGlobal: () => {},
    load: () => {},
    close: () => {},
    program: () => ({ iterate, close: () => {} }),
  };
  return {
    BpfObject: class {
      constructor() {
        Object.assign(this, object);
      }
    },
    cgroupId: () => 1n,
  } as unknown as Native;
}

function line(cookie: bigint): Buffer {
  const bytes = Buffer.alloc(layouts.task_netns.size);
  encodeU64(cookie).copy(bytes, layouts.task_netns.netns_cookie);
  return bytes;
}

function failure(code: string): Error {
  return Object.assign(new Error(`iterate task_netns: ${code}`), { code });
}

test("more processes than fit leave what was known, and do not stop who asks", () => {
  let answer: () => Buffer = () => Buffer.concat([line(7n), line(8n)]);
  const scan = new NetnsScan(
    kernel(() => answer()),
    "/cg",
    "netns.bpf.o",
  );
  const cookies = () => scan.read().map(({ cookie }) => cookie);
  expect(cookies()).toEqual([7n, 8n]);
  answer = () => {
    throw failure("EMSGSIZE");
  };
  expect(cookies()).toEqual([7n, 8n]);
  answer = () => line(9n);
  expect(cookies()).toEqual([9n]);
  answer = () => {
    throw failure("EPERM");
  };
  expect(cookies).toThrow("EPERM");
});
