/** Where questions are asked: a cluster, or the one that files describe. */
import { readFileSync } from "node:fs";
import { readSnapshot } from "../cluster/read.ts";
import type { Snapshot } from "../cluster/snapshot.ts";
import { type World, worldOf } from "../explain/world.ts";
import { withControllers } from "../files/controllers.ts";
import { toSnapshot } from "../files/file-snapshot.ts";
import { readManifests } from "../files/manifests.ts";
import { formatPlaced } from "../policy/yaml.ts";
import { type ClusterFlags, connect } from "./cluster-options.ts";

export interface WorldFlags extends ClusterFlags {
  /** Files, directories, `-`; a cluster where there are none. */
  readonly filename?: readonly string[];
  readonly trustedNamespaces: readonly string[];
}

/** @throws Error that names what cannot be read. */
export async function readWorld(flags: WorldFlags): Promise<World> {
  const { filename, trustedNamespaces } = flags;
  const snapshot = filename === undefined ? await readSnapshot(await connect(flags)) : readFiles(filename);
  return worldOf(snapshot, new Set(trustedNamespaces));
}

function readFiles(paths: readonly string[]): Snapshot {
  const { manifests, diagnostics } = readManifests(paths, () => readFileSync(0, "utf8"));
  const errors = diagnostics.filter(({ severity }) => severity === "error");
  if (errors.length > 0) throw new Error(`read manifests:\n${errors.map(formatPlaced).join("\n")}`);
  return withControllers(toSnapshot(manifests));
}
