/** Everything that is wrong, dangerous or in vain in manifests, with its place. Needs no cluster and never throws. */
import { type FileCluster, toSnapshot } from "../files/file-snapshot.ts";
import type { Manifest, Manifests } from "../files/manifests.ts";
import type { FileObject } from "../files/objects.ts";
import type { Diagnostic } from "../model/diagnostic.ts";
import { refKey } from "../model/objects.ts";
import type { LintContext } from "../policy/lint.ts";
import { type PlacedDiagnostic, place } from "../policy/yaml.ts";
import { linksOf } from "./links.ts";
import { checkObject, hasPolicy } from "./object-checks.ts";
import { barePolicy, type LintedPolicy, policiesOf } from "./policy-checks.ts";

export interface LintOptions {
  /** Where objects that name no namespace are applied; undefined: not known. */
  readonly namespace: string | undefined;
  /** Namespaces whose objects may guard any Service. */
  readonly trustedNamespaces: ReadonlySet<string>;
  readonly annotationPrefixes: readonly string[];
}

export interface LintResult {
  /** Sorted by file in the order read, then by place. */
  readonly diagnostics: readonly PlacedDiagnostic[];
  /** Policies, and objects that have one: what was judged. Other objects only say what exists. */
  readonly policies: number;
}

export function lint(manifests: Manifests, options: LintOptions): LintResult {
  const cluster = toSnapshot(manifests.manifests, options.namespace);
  const found: PlacedDiagnostic[] = [...manifests.diagnostics];
  const say = ({ document, path }: Manifest, diagnostics: readonly Diagnostic[]) => {
    for (const each of diagnostics) found.push(place(document, { ...each, path: below(path, each.path) }));
  };
  const context = contextOf(cluster, options);
  for (const object of cluster.objects) {
    say(object.manifest, checkObject(object, options));
    if (object.kind === "policy") say(object.manifest, barePolicy(object.manifest.value, context));
  }
  const policies = policiesOf(cluster, context);
  for (const { manifest, diagnostics } of policies) say(manifest, diagnostics);
  for (const { manifest, diagnostics } of links(cluster, policies, options)) say(manifest, diagnostics);
  for (const { manifest, diagnostics } of duplicates(cluster.objects)) say(manifest, diagnostics);
  return { diagnostics: sorted(found, manifests), policies: cluster.objects.filter(isPolicy).length };
}

function links(cluster: FileCluster, policies: readonly LintedPolicy[], options: LintOptions) {
  const objects = policies.flatMap(({ endpoint, manifest }) =>
    endpoint === undefined ? [] : [{ ...endpoint, manifest }],
  );
  return linksOf(cluster.snapshot, objects, options.trustedNamespaces);
}

/** Namespaces count as known where the files have any: then they are meant to be all there are. */
function contextOf({ snapshot }: FileCluster, options: LintOptions): LintContext {
  const namespaces = new Set(snapshot.namespaces.keys());
  return {
    namespaces: namespaces.size > 0 ? new Set([...namespaces, ...ALWAYS]) : undefined,
    annotationPrefixes: options.annotationPrefixes,
  };
}

/** Namespaces that every cluster has. */
const ALWAYS = ["default", "kube-system", "kube-public", "kube-node-lease"];

function isPolicy(object: FileObject): boolean {
  return object.kind === "policy" || object.kind === "misfit" || ("metadata" in object && hasPolicy(object));
}

function duplicates(objects: readonly FileObject[]) {
  const seen = new Map<string, Manifest>();
  return objects.flatMap((object) => {
    if (!("metadata" in object)) return [];
    const key = refKey({ ...object.metadata, kind: object.kind });
    const earlier = seen.get(key);
    seen.set(key, object.manifest);
    if (earlier === undefined) return [];
    const { file, line } = earlier.document.locate(below(earlier.path, "metadata.name"));
    const diagnostic: Diagnostic = {
      severity: "warning",
      code: "PODGATE_DUPLICATE_OBJECT",
      path: "metadata.name",
      message: `${key} is also at ${file}:${line}, and the one applied last replaces the other: rename one of them`,
    };
    return [{ manifest: object.manifest, diagnostics: [diagnostic] }];
  });
}

function below(base: string, path: string): string {
  if (base === "" || path === "") return base + path;
  return path.startsWith("[") ? base + path : `${base}.${path}`;
}

function sorted(found: readonly PlacedDiagnostic[], { files }: Manifests): readonly PlacedDiagnostic[] {
  const order = new Map(files.map(({ name }, index) => [name, index]));
  const key = ({ position }: PlacedDiagnostic) => order.get(position.file) ?? 0;
  const once = new Map(
    found.map((each) => [`${each.position.file} ${each.span.start} ${each.code} ${each.message}`, each]),
  );
  return withoutEchoes([...once.values()]).sort((a, b) => key(a) - key(b) || a.span.start - b.span.start);
}

/** What is left of an expression after YAML took a tag from it is no expression either: the tag is what to mend. */
function withoutEchoes(found: readonly PlacedDiagnostic[]): PlacedDiagnostic[] {
  const tags = found.filter(({ code }) => code === "PODGATE_YAML_TAG");
  return found.filter(
    (each) =>
      tags.includes(each) ||
      !tags.some(
        ({ position, span }) =>
          position.file === each.position.file && span.start <= each.span.start && each.span.end <= span.end,
      ),
  );
}
