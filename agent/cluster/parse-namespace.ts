/** Namespaces: that they exist is all that is read of them. */
import type { Fields } from "./fields.ts";
import type { Metadata } from "./metadata.ts";

export function parseNamespace(_object: Fields, metadata: Metadata): string {
  return metadata.name;
}
