/** Reads manifests as kubectl does: files, directories, standard input; several documents in a file; lists of objects. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type PlacedDiagnostic, type PolicyDocument, readPolicyFile } from "../policy/yaml.ts";

/** A text that was read, with its name as messages show it. */
export interface ManifestFile {
  readonly name: string;
  readonly text: string;
  /** False: a directory held it, so it may be about something else altogether. */
  readonly named: boolean;
}

/** One object or policy document of a file. */
export interface Manifest {
  readonly file: ManifestFile;
  readonly document: PolicyDocument;
  /** Where `value` stands in the document: "" unless it is an item of a `kind: List`. */
  readonly path: string;
  readonly value: unknown;
}

export interface Manifests {
  readonly files: readonly ManifestFile[];
  readonly manifests: readonly Manifest[];
  /** Faults of the YAML itself. A document that has one may have no manifest. */
  readonly diagnostics: readonly PlacedDiagnostic[];
}

/**
 * `paths` are files of any name, directories (searched for .yaml, .yml and .json), and `-` for `readStdin`.
 * @throws Error that names the path that cannot be read, or the directory that holds no manifest.
 */
export function readManifests(paths: readonly string[], readStdin: () => string): Manifests {
  const files = paths.flatMap((path) => filesAt(path, readStdin));
  return parseManifests([...new Map(files.map((file) => [file.name, file])).values()]);
}

export function parseManifests(files: readonly ManifestFile[]): Manifests {
  const manifests: Manifest[] = [];
  const diagnostics: PlacedDiagnostic[] = [];
  for (const file of files) {
    const documents = readPolicyFile(file.text, file.name);
    const template = templateOf(file, documents);
    if (template !== undefined) {
      diagnostics.push(template);
      continue;
    }
    for (const document of documents) {
      diagnostics.push(...document.diagnostics);
      // A document of comments alone is no object; kubectl passes over it too.
      if (document.value === null) continue;
      for (const { path, value } of objectsIn(document.value))
        manifests.push({ file, document, path, value });
    }
  }
  return { files, manifests, diagnostics };
}

/** A chart's directory holds templates, which are no YAML yet: that is said once, and only of files nobody named. */
function templateOf(file: ManifestFile, documents: readonly PolicyDocument[]): PlacedDiagnostic | undefined {
  const start = file.text.indexOf("{{");
  const [first] = documents;
  const isYaml = documents.every(({ diagnostics }) => diagnostics.length === 0);
  if (file.named || start < 0 || first === undefined || isYaml) return undefined;
  return {
    severity: "warning",
    code: "PODGATE_TEMPLATE",
    path: "",
    message:
      "a template is no YAML until it is filled in: pipe the output of `helm template` into `podgate lint -`",
    position: first.positionOf(start),
    span: { start, end: start + 2 },
  };
}

const MOST_BYTES = 16 * 1024 * 1024;

function filesAt(path: string, readStdin: () => string): readonly ManifestFile[] {
  if (path === "-") return [{ name: "stdin", text: readStdin(), named: true }];
  if (!stat(path).isDirectory()) return [read(path, true)];
  const found = search(path);
  if (found.length === 0) throw new Error(`read ${path}: it holds no .yaml, .yml or .json file`);
  return found.map((name) => read(name, false));
}

function read(name: string, named: boolean): ManifestFile {
  if (stat(name).size > MOST_BYTES) throw new Error(`read ${name}: it is over ${MOST_BYTES} bytes`);
  try {
    return { name, text: readFileSync(name, "utf8").replace(/^\ufeff/, ""), named };
  } catch (cause) {
    throw new Error(`read ${name}: ${codeOf(cause)}`, { cause });
  }
}

function stat(path: string) {
  try {
    return statSync(path);
  } catch (cause) {
    throw new Error(`read ${path}: ${codeOf(cause)}`, { cause });
  }
}

/** Sorted, and without following links to directories, which may lead back. Hidden directories hold tools' own files. */
function search(directory: string): string[] {
  const entries = readdirSync(directory, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      return entry.name.startsWith(".") || entry.name === "node_modules" ? [] : search(path);
    }
    return /\.(ya?ml|json)$/i.test(entry.name) ? [path] : [];
  });
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && "code" in cause ? String(cause.code) : String(cause);
}

/** `kubectl get -o yaml` of several objects gives a List. */
function objectsIn(value: unknown): readonly { readonly path: string; readonly value: unknown }[] {
  const list =
    typeof value === "object" && value !== null ? (value as { kind?: unknown; items?: unknown }) : {};
  const isList = typeof list.kind === "string" && list.kind.endsWith("List") && Array.isArray(list.items);
  if (!isList) return [{ path: "", value }];
  return (list.items as readonly unknown[]).map((item, index) => ({ path: `items[${index}]`, value: item }));
}
