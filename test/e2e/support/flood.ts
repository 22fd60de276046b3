/** A pod that dials the whole time while something happens to the agent. */
import type { PodHandle } from "../../lab/pod-handle.ts";
import { program } from "./programs.ts";

export interface FloodCount {
  readonly connected: number;
  /** EPERM. */
  readonly refused: number;
  /** Any other error: it got past the hook and no further. */
  readonly other: number;
  /** The last of those. */
  readonly last: string;
}

export interface Flood {
  /** Ends it and says what came of every dial. */
  stop(): Promise<FloodCount>;
}

/** Resolves once the first dial is done. `pauseMicroseconds`: between two; allowed ones need ports and packets. */
export async function startFlood(
  from: Pick<PodHandle, "spawn">,
  address: string,
  port: number,
  pauseMicroseconds: number,
): Promise<Flood> {
  const child = from.spawn([program("flood"), address, String(port), "0", String(pauseMicroseconds)]);
  let output = "";
  let complaint = "";
  child.stdout?.on("data", (chunk) => {
    output += chunk;
  });
  child.stderr?.on("data", (chunk) => {
    complaint += chunk;
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once("data", () => resolve());
    ended.then(
      (status) => reject(new Error(`flood ${address}: exit status ${status}: ${complaint}`)),
      reject,
    );
  });
  return {
    stop: async () => {
      child.kill("SIGTERM");
      const status = await ended;
      if (status !== 0) throw new Error(`flood ${address}: exit status ${status}: ${complaint}`);
      return JSON.parse(output.trim().split("\n").at(-1) ?? "") as FloodCount;
    },
  };
}

/** A given number of dials, one after the other. */
export async function dialMany(
  from: PodHandle,
  address: string,
  port: number,
  count: number,
): Promise<FloodCount> {
  const { stdout } = await from.exec([program("flood"), address, String(port), String(count), "0"]);
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as FloodCount;
}
