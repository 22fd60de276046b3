// Runs the real helm on the chart. The npm package that carries it exists for x64 only.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse, parseAllDocuments } from "yaml";

const helmBinary = fileURLToPath(new URL("../../../node_modules/.bin/helm", import.meta.url));
export const chartFolder = fileURLToPath(new URL("../../../charts/podgate", import.meta.url));

/** Why helm cannot run here, or undefined when it can. In CI on x64 it must run, so there it never is a reason to skip. */
export function helmMissing(): string | undefined {
  if (existsSync(helmBinary)) return undefined;
  const mustExist = process.arch === "x64" && process.env.PODGATE_CI !== undefined;
  if (mustExist) throw new Error(`find ${helmBinary}: not there, although this is CI on x64; run npm ci`);
  return `no helm for ${process.arch} among the npm packages`;
}

export interface HelmResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Never talks to a cluster: without a kubeconfig helm has none to talk to. */
export function helm(...args: string[]): HelmResult {
  const env = { PATH: process.env.PATH, HOME: "/nonexistent", KUBECONFIG: "/nonexistent/kubeconfig" };
  const { status, stdout, stderr, error } = spawnSync(helmBinary, args, { encoding: "utf8", env });
  if (error !== undefined) throw new Error(`run helm ${args.join(" ")}`, { cause: error });
  return { status, stdout, stderr };
}

/** The chart's manifests as text, as `helm install RELEASE -n podgate-system` would send them. */
export function render(release: string, ...args: string[]): string {
  const result = helm("template", release, chartFolder, "--namespace", "podgate-system", ...args);
  if (result.status !== 0) throw new Error(`render the chart: ${result.stderr}`);
  return result.stdout;
}

/** A Kubernetes object as YAML has it; the tests ask for the fields they look at. */
// biome-ignore lint/suspicious/noExplicitAny: manifests are read by path, a type would only repeat the paths
export type Manifest = any;

export function manifests(text: string): Manifest[] {
  return parseAllDocuments(text).map((document) => document.toJS());
}

export function chartFile(path: string): Manifest {
  return parse(readFileSync(`${chartFolder}/${path}`, "utf8"));
}
