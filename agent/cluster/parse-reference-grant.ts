/** ReferenceGrants of the Gateway API. An entry that cannot be read grants nothing. */
import type { ReferenceGrant } from "../model/objects.ts";
import { describe, type Fields, field, listField, type Report, text } from "./fields.ts";
import type { Metadata } from "./metadata.ts";

export function parseReferenceGrant(object: Fields, metadata: Metadata, report: Report): ReferenceGrant {
  const spec = field(object, "spec");
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    from: listField(spec, "from", "spec", report).flatMap((entry, index) => {
      const reference = groupKind(entry);
      const namespace = text(field(entry, "namespace"));
      if (reference && namespace) return [{ ...reference, namespace }];
      report(`spec.from[${index}]`, "needs group, kind and namespace, and grants nothing");
      return [];
    }),
    to: listField(spec, "to", "spec", report).flatMap((entry, index) => {
      const reference = groupKind(entry);
      const name = field(entry, "name");
      if (reference && name === undefined) return [reference];
      if (reference && typeof name === "string" && name !== "") return [{ ...reference, name }];
      // Never "every object": that is what a missing name means.
      report(`spec.to[${index}]`, `needs group and kind, has name ${describe(name)}, and grants nothing`);
      return [];
    }),
  };
}

/** `group` may be "" (core) but not absent. */
function groupKind(entry: unknown): { readonly group: string; readonly kind: string } | undefined {
  const group = text(field(entry, "group"));
  const kind = text(field(entry, "kind"));
  return group === undefined || !kind ? undefined : { group, kind };
}
