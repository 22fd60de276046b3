/** Pods that differ from a caller in one thing, chosen by what the policies compare with. */
import { podIdentity } from "../identity/pod-identity.ts";
import type { LocalPod } from "../model/objects.ts";
import { describedPod } from "./caller.ts";
import type { Remedy } from "./explanation.ts";
import { keysNamed, literalsOf } from "./operands.ts";
import type { World } from "./world.ts";

/** A text of a policy that may hold what to compare with, and what it reads. */
export interface Written {
  readonly text: string;
  readonly reads: ReadonlySet<string>;
}

export interface Candidate extends Remedy {
  readonly pod: LocalPod;
}

const NAME = "conn.k8s.pod.metadata.name";
const NAMESPACE = "conn.k8s.pod.metadata.namespace";
const SERVICE_ACCOUNT = "conn.k8s.pod.service_account";
const MAPS = [
  { path: "conn.k8s.pod.metadata.annotations", field: "annotations", verb: "annotate", noun: "annotation" },
  { path: "conn.k8s.pod.labels", field: "labels", verb: "label", noun: "label" },
] as const;

/** Smallest first: annotations and labels can be changed on a pod that runs, its name and namespace cannot. */
export function* candidates(
  world: World,
  pod: LocalPod | undefined,
  written: readonly Written[],
): Generator<Candidate> {
  if (pod?.hostNetwork) {
    const change = "run it on a network of its own (hostNetwork: false), so that it can be identified";
    yield { pod: { ...pod, hostNetwork: false }, change };
  }
  if (pod !== undefined && !pod.hostNetwork) {
    yield* smallerAnnotations(pod);
    for (const map of MAPS) yield* otherEntries(pod, map, written);
  }
  const base: LocalPod = { ...(pod ?? describedPod({ namespace: "", name: "" })), hostNetwork: false };
  const who = pod === undefined ? "be an identified pod" : "run it";
  for (const serviceAccount of names(written, SERVICE_ACCOUNT)) {
    if (serviceAccount === base.serviceAccount) continue;
    yield { pod: { ...base, serviceAccount }, change: `${who} with the service account ${serviceAccount}` };
  }
  for (const name of names(written, NAME)) {
    if (name !== base.name) yield { pod: { ...base, name }, change: `${who} under the name ${name}` };
  }
  const existing = world.snapshot.localPods.map(({ namespace }) => namespace);
  for (const namespace of new Set([...names(written, NAMESPACE), ...existing])) {
    if (namespace !== base.namespace) {
      yield { pod: { ...base, namespace }, change: `${who} in namespace ${namespace}` };
    }
  }
}

/** Too many bytes of annotations are an error code of their own: those that fit, alone. */
function* smallerAnnotations(pod: LocalPod): Generator<Candidate> {
  const { annotations, errorCode } = podIdentity(pod);
  if (errorCode === "") return;
  const change = "make the annotations that policies may read smaller than 1024 bytes together";
  yield { pod: { ...pod, annotations }, change };
}

function* otherEntries(
  pod: LocalPod,
  { path, field, verb, noun }: (typeof MAPS)[number],
  written: readonly Written[],
): Generator<Candidate> {
  const entries = pod[field];
  const changed = (next: ReadonlyMap<string, string>) => ({ ...pod, [field]: next });
  const target = `pod ${pod.name} -n ${pod.namespace}`;
  const readers = written.filter(({ reads }) => reads.has(path));
  const keysAnywhere = new Set(readers.flatMap(({ text }) => keysNamed(text, path)));
  for (const { text } of readers) {
    const keys = keysNamed(text, path);
    // What the same expression compares with first, then what others do: a variable may stand between.
    const all = [text, ...readers.map((reader) => reader.text)].flatMap(literalsOf);
    const literals = [...new Set(all)].filter((literal) => !keysAnywhere.has(literal));
    for (const key of keys) {
      // Where only the key counts, any value will do.
      for (const value of literals.length > 0 ? literals : ["true"]) {
        if (entries.get(key) === value) continue;
        yield {
          pod: changed(new Map([...entries, [key, value]])),
          change: `${verb} it ${key}=${JSON.stringify(value)}`,
          command: `kubectl ${verb} --overwrite ${target} ${shellWord(`${key}=${value}`)}`,
        };
      }
      if (!entries.has(key)) continue;
      yield {
        pod: changed(new Map([...entries].filter(([each]) => each !== key))),
        change: `remove its ${noun} ${key}`,
        command: `kubectl ${verb} ${target} ${shellWord(`${key}-`)}`,
      };
    }
  }
}

/** Literals that may be a Kubernetes name, in texts that read `variable`. */
function names(written: readonly Written[], variable: string): readonly string[] {
  const all = written.filter(({ reads }) => reads.has(variable)).flatMap(({ text }) => literalsOf(text));
  return [...new Set(all)].filter((literal) => /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(literal));
}

function shellWord(text: string): string {
  return /^[\w./=:@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
