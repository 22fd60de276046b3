// Which folder of agent/ may import which, as data, and the check that finds who does not keep to it.

interface Layer {
  /** Folders of agent/, or files directly in it. */
  readonly imports: readonly string[];
  /** Packages that this folder alone may import. */
  readonly packages?: readonly string[];
  /** Pure layers take clocks, files and sockets as arguments, so they load no built-in module that is one. */
  readonly pure?: boolean;
}

const decision = ["model", "cluster", "identity", "policy", "guard", "dataplane", "proxy"];
/** What looks at manifests instead of a cluster. */
const offline = ["files", "lint", "explain", "trial"];

/** In the order data flows. A folder, or a file directly in agent/, that is not here may not exist. */
export const layers: Readonly<Record<string, Layer>> = {
  model: { imports: [], pure: true },
  cluster: { imports: ["model"], packages: ["@kubernetes/client-node"] },
  identity: { imports: ["model", "cluster"] },
  policy: { imports: ["model"], packages: ["@marcbachmann/cel-js", "re2js", "yaml"], pure: true },
  guard: { imports: ["model", "cluster", "policy"], pure: true },
  files: { imports: ["model", "cluster", "policy"] },
  lint: { imports: ["model", "cluster", "policy", "guard", "files"], pure: true },
  explain: { imports: ["model", "cluster", "identity", "policy", "guard"], pure: true },
  trial: {
    imports: ["model", "cluster", "identity", "policy", "guard", "files", "explain"],
    pure: true,
  },
  dataplane: { imports: ["model", "policy", "guard"] },
  proxy: { imports: ["model", "identity", "policy", "dataplane"] },
  verdict: { imports: ["model"], packages: ["pino", "prom-client"] },
  "repeater.ts": { imports: ["model"] },
  "reconcile.ts": { imports: [...decision, "repeater.ts"] },
  reauthorize: { imports: [...decision, "reconcile.ts"] },
  "recall.ts": { imports: decision },
  "pod-places.ts": { imports: [...decision, "reconcile.ts"] },
  "narrate.ts": { imports: [...decision, "verdict", "reconcile.ts", "recall.ts", "reauthorize"] },
  "proxying.ts": {
    imports: [
      ...decision,
      "verdict",
      "reconcile.ts",
      "recall.ts",
      "narrate.ts",
      "pod-places.ts",
      "reauthorize",
    ],
  },
  "reauthorizing.ts": {
    imports: [...decision, "verdict", "repeater.ts", "reconcile.ts", "narrate.ts", "reauthorize"],
  },
  "agent.ts": {
    imports: [
      ...decision,
      "verdict",
      "repeater.ts",
      "reconcile.ts",
      "narrate.ts",
      "proxying.ts",
      "reauthorizing.ts",
    ],
  },
  cli: { imports: [...decision, ...offline, "verdict", "agent.ts"], packages: ["commander"] },
  "main.ts": { imports: ["cli"] },
};

const pureBuiltins = ["node:crypto", "node:path", "node:util"];
const addonLoader = "agent/dataplane/native.ts";
const vagueNames = ["index", "utils", "util", "helpers", "common", "types", "misc"];
const mostLines = 300;

export interface Import {
  readonly line: number;
  readonly specifier: string;
  readonly typeOnly: boolean;
}

/** The import and re-export statements of a formatted file: its statements start in the first column. */
export function importsOf(text: string): Import[] {
  const statement = /^(import|export)(\s+type\b)?(?:[^;"'`]*?\bfrom)?\s*"([^"]+)"/gm;
  const call = /\b(?:import|require)\(\s*["'`]([^"'`]+)["'`]/g;
  const lineAt = (index: number) => text.slice(0, index).split("\n").length;
  return [
    ...[...text.matchAll(statement)].map((match) => ({
      line: lineAt(match.index),
      specifier: match[3] ?? "",
      typeOnly: match[2] !== undefined,
    })),
    ...[...text.matchAll(call)].map((match) => ({
      line: lineAt(match.index),
      specifier: match[1] ?? "",
      typeOnly: false,
    })),
  ];
}

/** `agent/policy/cel/ast.ts` is of layer `policy`, `agent/main.ts` is its own. */
const layerOf = (path: string): string => path.split("/")[1] ?? "";

/** The path that a relative specifier means. */
function resolveFrom(path: string, specifier: string): string {
  return new URL(specifier, `file:///${path}`).pathname.slice(1);
}

const packageOf = (specifier: string): string =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");

/** What is wrong with one import, or undefined. */
function importProblem(path: string, { specifier, typeOnly }: Import): string | undefined {
  const name = layerOf(path);
  const layer = layers[name];
  if (layer === undefined) return undefined; // said once for the whole file
  if (specifier.startsWith("node:")) {
    if (specifier === "node:module" && path !== addonLoader) return `only ${addonLoader} loads the addon`;
    const harmless = typeOnly || pureBuiltins.includes(specifier);
    return layer.pure === true && !harmless ? `${name} is pure: take ${specifier} as an argument` : undefined;
  }
  if (!specifier.startsWith(".")) {
    const wanted = packageOf(specifier);
    if (layer.packages?.includes(wanted) === true) return undefined;
    const owner = Object.keys(layers).find((other) => layers[other]?.packages?.includes(wanted));
    return owner === undefined ? `${wanted} has no owner folder` : `only ${owner} imports ${wanted}`;
  }
  const target = resolveFrom(path, specifier);
  if (!target.startsWith("agent/")) return `agent/ imports nothing outside itself, not ${target}`;
  if (layerOf(target) === name || layer.imports.includes(layerOf(target))) return undefined;
  return `${name} may not import ${layerOf(target)}`;
}

/** What is wrong with a file as a whole. */
function fileProblems(path: string, text: string, longFiles: ReadonlyMap<string, string>): string[] {
  const problems: string[] = [];
  const name = (path.split("/").at(-1) ?? "").replace(/\.ts$/, "");
  const lines = text.trimEnd().split("\n").length;
  if (layers[layerOf(path)] === undefined)
    problems.push(`${layerOf(path)} is not a layer: add it to the table with a reason`);
  if (vagueNames.includes(name)) problems.push(`${name} is no noun: name the file after the one thing in it`);
  if (!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(name)) problems.push("file names are kebab-case");
  if (lines > mostLines && !longFiles.has(path))
    problems.push(`${lines} lines: look for the second idea in it`);
  if (lines <= mostLines && longFiles.has(path)) problems.push("no longer a long file: take it off the list");
  if (path !== addonLoader && /\bdlopen\(/.test(text)) problems.push(`only ${addonLoader} loads the addon`);
  return problems;
}

/**
 * Every violation in `files` (path from the project's root -> text) as `file:line: rule`.
 * `longFiles` may be longer than 300 lines; the value is the reason.
 */
export function violations(
  files: ReadonlyMap<string, string>,
  longFiles: ReadonlyMap<string, string> = new Map(),
): string[] {
  return [...files].flatMap(([path, text]) => [
    ...fileProblems(path, text, longFiles).map((problem) => `${path}:1: ${problem}`),
    ...importsOf(text).flatMap((found) => {
      const problem = importProblem(path, found);
      return problem === undefined ? [] : [`${path}:${found.line}: ${problem}`];
    }),
  ]);
}
