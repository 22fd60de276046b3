/** The part that all Kubernetes objects have, as far as the agent reads it. */
import { type Fields, field, isRecord, text } from "./fields.ts";

export interface Metadata {
  readonly uid: string;
  /** "" for objects of no namespace. */
  readonly namespace: string;
  readonly name: string;
  /** Opaque: only ever compared for equality. "" if absent, which equals nothing. */
  readonly resourceVersion: string;
  /** 0 for kinds without one. */
  readonly generation: number;
  /** As it came; the parsers that need them read them. */
  readonly annotations: unknown;
  readonly labels: unknown;
  readonly creationTimestamp: unknown;
}

/** Undefined if `object` cannot be told from others: without a name and a uid nothing can be kept about it. */
export function readMetadata(object: unknown): Metadata | undefined {
  const metadata = field(object, "metadata");
  if (!isRecord(metadata)) return undefined;
  const uid = text(field(metadata, "uid"));
  const name = text(field(metadata, "name"));
  const namespace = field(metadata, "namespace") ?? "";
  if (!uid || !name || typeof namespace !== "string") return undefined;
  const generation = field(metadata, "generation");
  return {
    uid,
    namespace,
    name,
    resourceVersion: text(field(metadata, "resourceVersion")) ?? "",
    generation: typeof generation === "number" ? generation : 0,
    annotations: field(metadata, "annotations"),
    labels: field(metadata, "labels"),
    creationTimestamp: field(metadata, "creationTimestamp"),
  };
}

/** Reads objects of one kind into what the agent keeps of them. Undefined: it can make nothing of this one. */
export type Parse<T> = (
  object: Fields,
  metadata: Metadata,
  report: (path: string, problem: string) => void,
) => T | undefined;
