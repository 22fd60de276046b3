/** Runs the tests of one directory: its objects, its cluster, who dials what, and whether it came as expected. */
import { findCaller, type Questioner } from "../explain/caller.ts";
import { explain } from "../explain/explain.ts";
import type { Explanation } from "../explain/explanation.ts";
import { findPlace } from "../explain/place.ts";
import { type World, worldOf } from "../explain/world.ts";
import { withControllers } from "../files/controllers.ts";
import { type FileCluster, toSnapshot } from "../files/file-snapshot.ts";
import { type ManifestFile, parseManifests } from "../files/manifests.ts";
import type { PlacedDiagnostic } from "../policy/yaml.ts";
import { type Case, readCaseFile } from "./case-file.ts";
import { type Coverage, coverageOf } from "./coverage.ts";
import { differences } from "./difference.ts";
import { withImaginedServices } from "./imagined-services.ts";

/** What a directory holds, as text. */
export interface TrialFiles {
  /** Named by the directory. */
  readonly name: string;
  readonly tests: ManifestFile;
  /** Everything else that ends in .yaml, .yml or .json; among them a cluster, or none. */
  readonly manifests: readonly ManifestFile[];
}

export interface CaseResult {
  readonly case: Case;
  /** Undefined: it could not be asked; `failures` says why. */
  readonly explanation: Explanation | undefined;
  /** What was not as expected; empty: passed. */
  readonly failures: readonly string[];
}

export interface TrialResult {
  readonly name: string;
  readonly results: readonly CaseResult[];
  readonly coverage: Coverage;
  /** Why there are no results: faults of the files themselves. */
  readonly diagnostics: readonly PlacedDiagnostic[];
  /** Undefined where the files have faults. */
  readonly world: World | undefined;
  readonly callers: readonly Questioner[];
}

const NO_COVERAGE: Coverage = { rules: [] };

export function runTrial({ name, tests, manifests }: TrialFiles): TrialResult {
  const file = readCaseFile(tests.text, tests.name);
  const read = parseManifests(manifests);
  const diagnostics = [
    ...file.diagnostics,
    ...read.diagnostics.filter(({ severity }) => severity === "error"),
  ];
  if (diagnostics.length > 0) {
    return { name, results: [], coverage: NO_COVERAGE, diagnostics, world: undefined, callers: [] };
  }
  const cluster = toSnapshot(read.manifests);
  const world = worldOf(furnished(cluster, file.cases), new Set(file.trustedNamespaces));
  const results = file.cases.map((each) => runCase(world, each));
  const explanations = results.flatMap(({ explanation }) => explanation ?? []);
  return {
    name,
    results,
    coverage: coverageOf(world, cluster, explanations),
    diagnostics,
    world,
    callers: file.cases.flatMap(({ from }) => (typeof from === "string" ? [] : [{ pod: from }])),
  };
}

/** A cluster that is written is complete; where there is none, what the objects name is taken to exist. */
function furnished(cluster: FileCluster, cases: readonly Case[]) {
  const snapshot = withControllers(cluster);
  return snapshot.services.length > 0
    ? snapshot
    : withImaginedServices(
        snapshot,
        cases.map(({ to }) => to),
      );
}

function runCase(world: World, each: Case): CaseResult {
  const caller = callerOf(world, each);
  if (caller instanceof Error) return { case: each, explanation: undefined, failures: [caller.message] };
  const to = findPlace(world, each.to);
  if (to instanceof Error) return { case: each, explanation: undefined, failures: [to.message] };
  const explanation = explain(world, caller, to);
  return { case: each, explanation, failures: differences(each.expect, explanation) };
}

function callerOf(world: World, { from, moment }: Case): Questioner | Error {
  const caller = typeof from === "string" ? findCaller(world, from) : { pod: from };
  if (!(caller instanceof Error)) return moment === undefined ? caller : { ...caller, moment };
  return new Error(
    `${caller.message}: add the pod to cluster.yaml, or describe it as {namespace: ..., name: ...}`,
  );
}
