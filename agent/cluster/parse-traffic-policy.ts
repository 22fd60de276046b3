/** NgrokTrafficPolicies: policy texts that endpoints refer to; policy/ says whether they are any good. */
import type { TrafficPolicy } from "../model/objects.ts";
import { type Fields, field } from "./fields.ts";
import type { Metadata } from "./metadata.ts";

export function parseTrafficPolicy(object: Fields, metadata: Metadata): TrafficPolicy {
  return {
    kind: "NgrokTrafficPolicy",
    namespace: metadata.namespace,
    name: metadata.name,
    generation: metadata.generation,
    value: field(field(object, "spec"), "policy"),
  };
}
