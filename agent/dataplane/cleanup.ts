/** Takes everything of Podgate out of the kernel: programs detached, pins removed. Nothing that is not ours. */
import { readdirSync, rmdirSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { isThere, lockPins, requireBpffs } from "./kernel.ts";
import type { Native } from "./native.ts";

/** Returns the paths removed; empty when there was nothing. @throws Error when an agent still runs, or nobody may look. */
export function cleanPins(native: Native, pinPath: string): string[] {
  if (!isThere(pinPath)) return [];
  requireBpffs(native, pinPath);
  const lock = lockPins(native, pinPath);
  try {
    return [
      ...cleanLinks(native, join(pinPath, "links")),
      ...cleanMaps(join(pinPath, "maps")),
      ...removeIfEmpty(pinPath),
    ];
  } finally {
    lock.close();
  }
}

function cleanLinks(native: Native, directory: string): string[] {
  const pins = list(directory);
  for (const pin of pins) {
    const link = native.BpfLink.open(pin);
    link.detach();
    link.close();
    unlinkSync(pin);
  }
  return [...pins, ...removeIfEmpty(directory)];
}

function cleanMaps(directory: string): string[] {
  const pins = list(directory);
  for (const pin of pins) unlinkSync(pin);
  return [...pins, ...removeIfEmpty(directory)];
}

function removeIfEmpty(directory: string): string[] {
  if (!isThere(directory) || list(directory).length > 0) return [];
  rmdirSync(directory);
  return [directory];
}

function list(directory: string): string[] {
  return isThere(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [];
}
