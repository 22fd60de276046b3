/** Two linked network namespaces for the tests of one `describe`, and the addon's hold on the first. */
import { afterAll, beforeAll } from "vitest";
import type { Native, Netns } from "../../agent/dataplane/native.ts";
import { Namespace } from "./namespace.ts";
import { builtNative } from "./scratch.ts";
import { Sockets } from "./sockets.ts";

export interface Neighbours {
  native: Native;
  inside: Namespace;
  outside: Namespace;
  /** Of `inside`. */
  netns: Netns;
  /** In `inside`. */
  sockets: Sockets;
}

/** The fields are there when the tests run, and gone after the last one. */
export function neighbours(): Neighbours {
  const made: Partial<Neighbours> = {};
  beforeAll(() => {
    const native = builtNative();
    const inside = new Namespace();
    Object.assign(made, { native, inside });
    const outside = new Namespace();
    made.outside = outside;
    inside.linkTo(outside);
    const netns = native.Netns.open(inside.path);
    Object.assign(made, { netns, sockets: new Sockets(native, netns) });
  });
  afterAll(async () => {
    made.netns?.close();
    await made.inside?.remove();
    await made.outside?.remove();
  });
  return made as Neighbours;
}
