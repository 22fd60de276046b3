/** Whether what objects name is there and may be named: Services, endpoints, other namespaces. Asked as the agent asks it. */
import type { Snapshot } from "../cluster/snapshot.ts";
import type { Manifest } from "../files/manifests.ts";
import { claimOf } from "../guard/claims.ts";
import { failsafe } from "../guard/failsafe.ts";
import type { Problem } from "../guard/guard.ts";
import { missingTargets } from "../guard/missing-targets.ts";
import { ownership } from "../guard/ownership.ts";
import type { ResolvedPolicy } from "../guard/policies.ts";
import { indexRoutes, type Routes } from "../guard/routes.ts";
import { indexServices } from "../guard/services.ts";
import type { Diagnostic } from "../model/diagnostic.ts";
import { type ConnectionPolicy, type Endpoint, refKey } from "../model/objects.ts";
import { evaluate } from "../policy/evaluate.ts";
import type { Policy } from "../policy/policy.ts";

export interface LinkedObject {
  readonly manifest: Manifest;
  readonly object: Endpoint | ConnectionPolicy;
  readonly policy: Policy | undefined;
  readonly readsPod: boolean;
  /** Where `policy` stands in the object; undefined where another object has it. */
  readonly path: string | undefined;
}

export interface LinkDiagnostics {
  readonly manifest: Manifest;
  readonly diagnostics: readonly Diagnostic[];
}

export function linksOf(
  snapshot: Snapshot,
  objects: readonly LinkedObject[],
  trustedNamespaces: ReadonlySet<string>,
): readonly LinkDiagnostics[] {
  const resolved = new Map(objects.map((each) => [refKey(each.object), resolve(each)]));
  const services = indexServices(snapshot, new Set(), []);
  const routes = indexRoutes(snapshot, resolved, services, trustedNamespaces, evaluate);
  const realm = {
    routes,
    mayGuard: ownership(snapshot, trustedNamespaces),
    failsafe: failsafe(services, new Set()),
  };
  // Files without any Service describe no cluster: nothing can be missing from them.
  const servicesKnown = snapshot.services.length > 0;
  return objects.map((each) => {
    const { problems } = claimOf(each.object, resolve(each), realm);
    const found = problems
      .filter(({ reason }) => reason !== "TargetNotFound" || servicesKnown)
      .map(problemDiagnostic)
      .filter(({ path }) => !isSaid(each, path));
    return {
      manifest: each.manifest,
      diagnostics: servicesKnown ? [...found, ...lostForwards(each, routes)] : found,
    };
  });
}

function lostForwards({ object, policy, path }: LinkedObject, routes: Routes): readonly Diagnostic[] {
  if (policy === undefined || path === undefined) return [];
  return missingTargets(policy, object, path, routes);
}

/** A field that could not be read was reported when the object was. */
function isSaid({ object }: LinkedObject, path: string): boolean {
  return object.policy.kind === "malformed" && object.policy.path === path;
}

function resolve({ object, policy, readsPod }: LinkedObject): ResolvedPolicy {
  return {
    object,
    inForce:
      policy === undefined ? { kind: "refusal", reason: "policy-invalid" } : { kind: "policy", policy },
    readsPod,
    warnings: [],
  };
}

/** A problem's message begins with the field that has it. */
function problemDiagnostic({ reason, message }: Problem): Diagnostic {
  const [, path = "spec", rest = message] = /^(spec\.[\w.[\]]+): (.*)$/s.exec(message) ?? [];
  if (reason === "Invalid") return { severity: "error", code: "PODGATE_URL", path, message: rest };
  const code = reason === "TargetNotFound" ? "PODGATE_NO_SERVICE" : "PODGATE_NOT_PERMITTED";
  return { severity: "warning", code, path, message: rest };
}
