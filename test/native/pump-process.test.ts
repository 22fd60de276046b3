import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { builtNative, obstacle } from "./scratch.ts";
import { loadTcp } from "./tcp.ts";

/** What one scenario of pump-child.ts printed, line by line, and its exit code or signal. */
function run(
  scenario: string,
  { prefix = [] as string[], options = [] as string[], seed = 0 } = {},
): { lines: unknown[]; status: number | string | null } {
  const child = [
    process.execPath,
    "--expose-gc",
    ...options,
    join(import.meta.dirname, "pump-child.ts"),
    scenario,
    `${seed}`,
  ];
  const [command = "", ...parameters] = [...prefix, ...child];
  const result = spawnSync(command, parameters, { encoding: "utf8", timeout: 60_000 });
  if (result.stderr !== "") console.log(result.stderr);
  const lines = result.stdout.split("\n").filter((line) => line.startsWith("{"));
  return { lines: lines.map((line) => JSON.parse(line)), status: result.signal ?? result.status };
}

describe.skipIf(obstacle())("A process with a Pump", () => {
  beforeAll(() => {
    builtNative();
    loadTcp();
  });

  it("ends by itself when nothing is pumped, although the pump is open", () => {
    expect(run("unused")).toEqual({ lines: [{ size: 0 }], status: 0 });
  });

  it("lives until the last connection has ended, also when nothing refers to the pump", () => {
    expect(run("kept")).toEqual({
      lines: [{ application: true, server: true }, { how: "idle" }],
      status: 0,
    });
  });

  it("loses the threads of pumps that are collected unclosed", () => {
    const { lines, status } = run("collected");
    expect(status).toBe(0);
    // What is left is what the last collection has not seen.
    expect((lines[0] as { threads: number }).threads).toBeLessThan(100);
  });

  it("exits in the middle of traffic with its own exit code, every time", () => {
    // Without V8's own threads: process.exit() may wait for ever for one of them (nodejs/node#54918).
    const options = ["--single-threaded"];
    for (let i = 0; i < 5; i++)
      expect(run("exit", { options })).toEqual({ lines: [{ exits: true }], status: 7 });
  });

  it("survives workers that are terminated in the middle of traffic", () => {
    expect(run("terminate")).toEqual({ lines: [{ terminated: true, threads: 0 }], status: 0 });
  });

  it("takes what onEnd throws as an uncaughtException, and tells the other ends", () => {
    expect(run("throws")).toEqual({ lines: [{ uncaught: 5, told: 10 }], status: 0 });
  });

  it("waits without using CPU while it can open no pipe, and goes on when it can", () => {
    const { lines, status } = run("starved", { prefix: ["prlimit", "--nofile=100"] });
    expect(status).toBe(0);
    const { cpuMs, ...rest } = lines[0] as { cpuMs: number };
    expect(rest).toEqual({ starved: true, how: ["closed", "closed", "closed"] });
    expect(cpuMs).toBeLessThan(100);
  });

  it("tells every end once, whatever happens to connections in whatever order", () => {
    const seed = Number(process.env.PODGATE_SEED ?? Date.now() % 2 ** 31);
    console.log(`seed ${seed} (repeat with PODGATE_SEED=${seed})`);
    const { lines, status } = run("random", { seed });
    expect(status).toBe(0);
    const { told, refused, ...rest } = lines[0] as { told: Record<string, number>; refused: number };
    expect(rest).toEqual({ missing: 0, sizes: [0, 0, 0], codes: ["ERR_CLOSED", "Error", "Error"] });
    expect(refused).toBeGreaterThan(100);
    // Everything happened.
    expect(Object.values(told).every((count) => count > 0)).toBe(true);
  });

  it("spends less than 1 KB of memory, no pipe and no CPU on a connection that is idle", () => {
    const { lines, status } = run("idle");
    expect(status).toBe(0);
    const idle = lines[0] as { bytes: number; pipes: number; cpuMs: number; count: number; stopped: number };
    console.log(JSON.stringify(idle));
    expect(idle.count).toBeGreaterThan(100);
    expect(idle.bytes).toBeLessThan(1024);
    expect(idle.pipes).toBeLessThanOrEqual(2 * 8 + 10);
    expect(idle.cpuMs).toBeLessThan(100);
    expect(idle.stopped).toBe(idle.count);
  });
});
