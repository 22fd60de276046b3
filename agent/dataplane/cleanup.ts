/** Takes everything of Podgate out of the kernel: programs detached, pins removed. Nothing that is not ours. */
import { existsSync, readdirSync, rmdirSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import type { Native } from "./native.ts";

/** Returns the paths removed; empty when there was nothing. */
export function cleanPins(native: Native, pinPath: string): string[] {
  const removed: string[] = [];
  const links = join(pinPath, "links");
  for (const name of list(links)) {
    const link = native.BpfLink.open(join(links, name));
    link.detach();
    link.close();
    unlinkSync(join(links, name));
    removed.push(join(links, name));
  }
  const maps = join(pinPath, "maps");
  for (const name of list(maps)) {
    unlinkSync(join(maps, name));
    removed.push(join(maps, name));
  }
  for (const directory of [links, maps, pinPath]) {
    if (!existsSync(directory) || list(directory).length > 0) continue;
    rmdirSync(directory);
    removed.push(directory);
  }
  return removed;
}

function list(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}
