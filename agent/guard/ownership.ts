/** Whose Service is it: which policy objects may guard the Services of which namespace. */
import type { Snapshot } from "../cluster/snapshot.ts";
import type { ObjectRef, ReferenceGrant } from "../model/objects.ts";

export type Ownership = (
  object: ObjectRef,
  service: { readonly namespace: string; readonly name: string },
) => boolean;

/** Own namespace, a trusted namespace, or a ReferenceGrant in the Service's namespace; nothing else. */
export function ownership(
  snapshot: Pick<Snapshot, "referenceGrants">,
  trustedNamespaces: ReadonlySet<string>,
): Ownership {
  const grants = Map.groupBy(snapshot.referenceGrants, (grant) => grant.namespace);
  return (object, service) =>
    object.namespace === service.namespace ||
    trustedNamespaces.has(object.namespace) ||
    (grants.get(service.namespace) ?? []).some((grant) => permits(grant, object, service.name));
}

function permits(grant: ReferenceGrant, object: ObjectRef, service: string): boolean {
  const from = grant.from.some(
    ({ group, kind, namespace }) =>
      group === groupOf(object) && kind === object.kind && namespace === object.namespace,
  );
  const to = grant.to.some(
    ({ group, kind, name }) => group === "" && kind === "Service" && (name === undefined || name === service),
  );
  return from && to;
}

function groupOf(object: ObjectRef): string {
  return object.kind === "ConnectionPolicy" ? "podgate.dev" : "ngrok.k8s.ngrok.com";
}
