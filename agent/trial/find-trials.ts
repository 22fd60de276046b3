/** Finds the cases in a directory and below it: wherever there is a tests.yaml, with the files beside it. */
import { basename, dirname } from "node:path";
import { readManifests } from "../files/manifests.ts";
import type { TrialFiles } from "./trial.ts";

export const TESTS = "tests.yaml";

/** @throws Error that names what cannot be read, or where there is none. */
export function findTrials(directory: string): readonly TrialFiles[] {
  const { files } = readManifests([directory], () => "");
  const found = files.filter(({ name }) => basename(name) === TESTS);
  if (found.length === 0) {
    throw new Error(`test ${directory}: there is no ${TESTS} in it or below it: write one`);
  }
  return found.map((tests) => {
    const name = dirname(tests.name);
    return { name, tests, manifests: files.filter((file) => file !== tests && dirname(file.name) === name) };
  });
}
