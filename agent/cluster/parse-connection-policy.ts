/** ConnectionPolicies, Podgate's own kind. Whatever cannot be read makes the policy malformed, so that it denies. */
import type { ConnectionPolicy } from "../model/objects.ts";
import { choice, MODE_ANNOTATION, REAUTHORIZE, REAUTHORIZE_ANNOTATION } from "./annotation.ts";
import { describe, type Fields, field, isRecord, type Report, text } from "./fields.ts";
import type { Metadata } from "./metadata.ts";
import { type Malformed, malformed, policySource } from "./parse-policy-source.ts";

type Target = ConnectionPolicy["targets"][number];

export function parseConnectionPolicy(object: Fields, metadata: Metadata, report: Report): ConnectionPolicy {
  const found = field(object, "spec");
  const spec = isRecord(found) ? found : {};
  const faults: Malformed[] = [];
  const targets = readTargets(spec, faults);
  const audit = readMode(spec, faults);
  const onAgentDown = readOnAgentDown(spec, faults);
  const connectOnly = choice(metadata, REAUTHORIZE_ANNOTATION, REAUTHORIZE, faults);
  const source = policySource(spec);
  if (source.kind === "none")
    faults.push(malformed("spec.trafficPolicy", "is missing: write inline or targetRef"));
  if (field(metadata.annotations, MODE_ANNOTATION) !== undefined) {
    report(
      `metadata.annotations["${MODE_ANNOTATION}"]`,
      "has no effect on a ConnectionPolicy: use spec.mode",
    );
  }
  for (const { path, message } of faults) report(path, message);
  const [fault] = faults;
  return {
    kind: "ConnectionPolicy",
    uid: metadata.uid,
    namespace: metadata.namespace,
    name: metadata.name,
    generation: metadata.generation,
    policy: fault ?? source,
    audit,
    connectOnly,
    targets,
    ...(onAgentDown && { onAgentDown }),
  };
}

function readMode(spec: Fields, faults: Malformed[]): boolean {
  const mode = field(spec, "mode") ?? "Enforce";
  if (mode === "Audit" || mode === "Enforce") return mode === "Audit";
  faults.push(malformed("spec.mode", `is ${describe(mode)}: write Enforce or Audit`));
  return false;
}

function readOnAgentDown(spec: Fields, faults: Malformed[]): "allow" | undefined {
  const choice = field(spec, "onAgentDown") ?? "Deny";
  if (choice === "Allow") return "allow";
  if (choice !== "Deny")
    faults.push(malformed("spec.onAgentDown", `is ${describe(choice)}: write Deny or Allow`));
  return undefined;
}

function readTargets(spec: Fields, faults: Malformed[]): readonly Target[] {
  const found = field(spec, "targetRefs");
  if (!Array.isArray(found) || found.length === 0) {
    faults.push(malformed("spec.targetRefs", `is ${describe(found)}: list the Services it guards`));
    return [];
  }
  return found.flatMap((entry, index) => readTarget(entry, `spec.targetRefs[${index}]`, faults));
}

/** A target whose port cannot be read is guarded at every port. */
function readTarget(entry: unknown, path: string, faults: Malformed[]): readonly Target[] {
  const service = text(field(entry, "name"));
  const group = field(entry, "group") ?? "";
  const kind = field(entry, "kind") ?? "Service";
  if (!service || group !== "" || kind !== "Service") {
    faults.push(malformed(path, 'does not name a Service: write group "", kind Service and its name'));
    return [];
  }
  const namespace = field(entry, "namespace");
  if (namespace !== undefined) {
    faults.push(
      malformed(`${path}.namespace`, "is set: a ConnectionPolicy guards Services of its own namespace"),
    );
    return [];
  }
  const port = field(entry, "sectionName") ?? "";
  if (typeof port === "string") return [port === "" ? { service } : { service, port }];
  faults.push(malformed(`${path}.sectionName`, `is ${describe(port)}: write the name of a Service port`));
  return [{ service }];
}
