/** From a kernel event, all numbers, to a verdict record, all names: as things were at the last reconcile. */
import type { KernelEvent } from "./dataplane/abi.ts";
import { NO_RULE } from "./dataplane/abi.ts";
import type { Dataplane } from "./dataplane/dataplane.ts";
import { type ServiceNames, serviceNames } from "./guard/service-names.ts";
import { type Identity, type PodIdentity, unresolved } from "./model/identity.ts";
import { type LocalPod, type ObjectRef, refKey } from "./model/objects.ts";
import type { Reason } from "./model/verdict.ts";
import type { Rule } from "./policy/policy.ts";
import type { Reconciled } from "./reconcile.ts";
import type { Decided, RuleRecord, VerdictRecord } from "./verdict/record.ts";

/** Pods that are gone and may still have events on the way. */
const REMEMBERED_PODS = 10_000;

export class Narrator {
  readonly #dataplane: Pick<Dataplane, "podUid" | "policies">;
  readonly #identityOf: (pod: LocalPod) => PodIdentity;
  readonly #pods = new Map<string, LocalPod>();
  #latest: Reconciled | undefined;
  #names: ServiceNames | undefined;

  constructor(dataplane: Pick<Dataplane, "podUid" | "policies">, identityOf: (pod: LocalPod) => PodIdentity) {
    this.#dataplane = dataplane;
    this.#identityOf = identityOf;
  }

  learn(latest: Reconciled): void {
    if (latest.snapshot !== this.#latest?.snapshot) this.#names = undefined;
    this.#latest = latest;
    for (const pod of latest.snapshot.localPods) {
      this.#pods.delete(pod.uid);
      this.#pods.set(pod.uid, pod);
    }
    for (const uid of this.#pods.keys()) {
      if (this.#pods.size <= REMEMBERED_PODS) break;
      this.#pods.delete(uid);
    }
  }

  /** `bootTime`: ms to add to the event's clock. */
  tell(event: KernelEvent, bootTime: number): VerdictRecord {
    const uid = event.pod === 0 ? undefined : this.#dataplane.podUid(event.pod);
    const pod = uid === undefined ? undefined : this.#pods.get(uid);
    const identity: Identity =
      pod === undefined ? unresolved("") : { kind: "pod", pod: this.#identityOf(pod) };
    const audited = event.audited;
    return {
      time: Math.round(bootTime + Number(event.time / 1_000_000n)),
      ...this.#decided(event, identity),
      layer: event.layer,
      ...(uid !== undefined && { pod: { namespace: pod?.namespace ?? "", name: pod?.name ?? "", uid } }),
      process: { pid: event.pid, comm: event.comm },
      destination: this.#place(event.dialled),
      ...(event.action === "forward" && { forwardedTo: this.#place(event.target) }),
      errorCode: errorCode(event, identity),
      ...(audited && { audited: this.#decided(audited, identity) }),
      suppressed: event.suppressed,
    };
  }

  #decided(event: Pick<KernelEvent, "action" | "reason" | "policy" | "rule">, identity: Identity): Decided {
    const policy = this.#dataplane.policies.ref(event.policy);
    const rule = policy === undefined || event.rule === NO_RULE ? undefined : this.#rule(policy, event.rule);
    const error = policy && this.#error(event.reason, policy, identity);
    return {
      verdict: event.action,
      reason: event.reason,
      ...(policy && { policy }),
      ...(rule && { rule }),
      ...(error !== undefined && { error }),
    };
  }

  #inForce(policy: ObjectRef) {
    const inForce = this.#latest?.policies.get(refKey(policy))?.inForce;
    return inForce?.kind === "policy" ? inForce.policy : undefined;
  }

  #rule(policy: ObjectRef, index: number): RuleRecord {
    const rule = this.#inForce(policy)?.rules.find((candidate) => candidate.index === index);
    return rule === undefined ? { index } : { index, ...describe(rule) };
  }

  /** The kernel holds no texts: what went wrong is found by asking again. */
  #error(reason: Reason, policy: ObjectRef, identity: Identity): string | undefined {
    if (reason === "policy-invalid" || reason === "target-not-found") {
      return this.#latest?.policies.get(refKey(policy))?.problem?.message;
    }
    const inForce = reason === "expression-error" ? this.#inForce(policy) : undefined;
    const outcome = inForce && this.#latest?.guardSet.routes.evaluate(inForce, identity);
    return outcome?.kind === "deny" && outcome.reason === "expression-error" ? outcome.error : undefined;
  }

  #place(at: KernelEvent["dialled"]): VerdictRecord["destination"] {
    if (this.#latest !== undefined) {
      this.#names ??= serviceNames(this.#latest.guardSet.routes.services, this.#latest.nodeAddresses);
    }
    const service = this.#names?.(at.address, at.port);
    return { address: at.address, port: at.port, ...(service !== undefined && { service }) };
  }
}

function describe(rule: Rule): Omit<RuleRecord, "index"> {
  const expression = rule.expressions.map(({ text }) => text).join(" && ");
  return { ...(rule.name !== "" && { name: rule.name }), ...(expression !== "" && { expression }) };
}

function errorCode(event: KernelEvent, identity: Identity): string {
  if (event.pod === 0) return event.reason === "identity-mismatch" ? "" : "ERR_NGROK_28001";
  return identity.kind === "pod" ? identity.pod.errorCode : "";
}
