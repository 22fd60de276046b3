/** Connections that a pod keeps open, while something happens to what allows them. */
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { program } from "./programs.ts";

/** "open" or "ok": it carries bytes; else the name of the error that ended it. */
export type Held = readonly string[];

/** Where the program runs. */
export type Dialler = { spawn(command: readonly string[]): ChildProcess };

export interface Holder {
  readonly from: Dialler;
  readonly address: string;
  readonly count: number;
  /** What a line sent on each of them comes to. */
  talk(): Promise<Held>;
  end(): Promise<void>;
}

/** @throws Error when not all of them could be opened. `::ffff:192.0.2.1` is dialled on an IPv6 socket. */
export async function hold(
  from: Dialler,
  address: string,
  port: number,
  count: number,
  { sourcePort }: { readonly sourcePort?: number } = {},
): Promise<Holder> {
  const argv = [program("hold"), address, String(port), String(count)];
  const child = from.spawn(sourcePort === undefined ? argv : [...argv, String(sourcePort)]);
  if (child.stdout === null || child.stdin === null)
    throw new Error("hold connections: no pipes to the program");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<Held> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`hold ${address} ${port}: the program ended`);
    return JSON.parse(value) as Held;
  };
  const ended = new Promise<void>((resolve) => child.on("close", () => resolve()));
  const end = async () => {
    child.stdin?.end();
    await ended;
  };
  const opened = await next();
  const refused = opened.find((state) => state !== "open");
  if (refused !== undefined) {
    await end();
    throw new Error(`hold ${address} ${port}: ${refused}`);
  }
  return {
    from,
    address,
    count,
    talk: () => {
      child.stdin?.write("\n");
      return next();
    },
    end,
  };
}
