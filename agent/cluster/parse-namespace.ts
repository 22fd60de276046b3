/** Namespaces: their names and labels. */
import type { Namespace } from "../model/objects.ts";
import { type Fields, type Report, textMap } from "./fields.ts";
import type { Metadata } from "./metadata.ts";

export function parseNamespace(_object: Fields, metadata: Metadata, report: Report): Namespace {
  return { name: metadata.name, labels: textMap(metadata.labels, "metadata.labels", report) };
}
