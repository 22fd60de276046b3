/** From a kernel event, all numbers, to a verdict record, all names: as things were at the last reconcile. */

import { NO_RULE } from "./dataplane/abi.ts";
import type { Dataplane } from "./dataplane/dataplane.ts";
import type { KernelEvent } from "./dataplane/event.ts";
import { type ServiceNames, serviceNames } from "./guard/service-names.ts";
import type { IdentityReader } from "./identity/pod-identity.ts";
import { type Identity, unresolved } from "./model/identity.ts";
import { type LocalPod, type ObjectRef, refKey } from "./model/objects.ts";
import type { Decision, LogMetadata, Reason, Verdict } from "./model/verdict.ts";
import type { Rule } from "./policy/policy.ts";
import type { Revoked } from "./reauthorize/judge.ts";
import { isSame, logOf, recall } from "./recall.ts";
import type { Reconciled } from "./reconcile.ts";
import type { Decided, RuleRecord, VerdictRecord } from "./verdict/record.ts";

/** A decision in the kernel's numbers. */
type Numbered = Pick<KernelEvent, "action" | "reason" | "policy" | "rule">;

/** Who connects; without `pod` nobody that is known. */
export interface Caller {
  readonly identity: Identity;
  readonly pod?: NonNullable<VerdictRecord["pod"]>;
}

/** What the proxy has decided, and about what. */
export interface Proxied {
  /** ms since 1970. */
  readonly time: number;
  readonly caller: Caller;
  readonly process: NonNullable<VerdictRecord["process"]>;
  readonly dialled: KernelEvent["dialled"];
  /** Where it went. */
  readonly target?: KernelEvent["dialled"];
  readonly verdict: Verdict;
  readonly log: readonly LogMetadata[];
  /** An allowed connection could not be made. */
  readonly error?: string;
  readonly suppressed: number;
}

/** Pods that are gone and may still have events on the way. */
const REMEMBERED_PODS = 10_000;

export class Narrator {
  readonly #dataplane: Pick<Dataplane, "podUid" | "policies">;
  readonly #identityOf: IdentityReader;
  readonly #pods = new Map<string, LocalPod>();
  #latest: Reconciled | undefined;
  #names: ServiceNames | undefined;

  constructor(dataplane: Pick<Dataplane, "podUid" | "policies">, identityOf: IdentityReader) {
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

  /** `number`: a pod's in the kernel, 0 for none. */
  caller(number: number): Caller {
    const uid = number === 0 ? undefined : this.#dataplane.podUid(number);
    const pod = uid === undefined ? undefined : this.#pods.get(uid);
    if (uid === undefined) return { identity: unresolved("") };
    const named = { namespace: pod?.namespace ?? "", name: pod?.name ?? "", uid };
    if (pod === undefined) return { identity: unresolved(""), pod: named };
    const identity = this.#identityOf(pod, this.#latest?.snapshot.namespaces);
    return { identity: { kind: "pod", pod: identity }, pod: named };
  }

  /** `bootTime`: ms to add to the event's clock. */
  tell(event: KernelEvent, bootTime: number): VerdictRecord {
    const { identity, pod } = this.caller(event.pod);
    const audited = event.audited;
    const verdicts = this.#travel(event, identity);
    const log = logOf(verdicts);
    return {
      time: Math.round(bootTime + Number(event.time / 1_000_000n)),
      ...this.#decided(event, verdicts),
      layer: event.layer,
      ...(pod && { pod }),
      process: { pid: event.pid, comm: event.comm },
      destination: this.#place(event.dialled),
      ...(event.action === "forward" && { forwardedTo: this.#place(event.target) }),
      errorCode: errorCode(event.pod !== 0, event.reason, identity),
      ...(audited && {
        audited: this.#decided(
          audited,
          verdicts.flatMap((verdict) => verdict.audited ?? []),
        ),
      }),
      ...(log.length > 0 && { log }),
      suppressed: event.suppressed,
    };
  }

  /** An open connection that has just been ended. Nobody knows which process had it. */
  tellRevoked({ time, pod, layer, connection, decision }: Revoked): VerdictRecord {
    const { dialled, remote } = connection;
    const wasForwarded = dialled.address !== remote.address || dialled.port !== remote.port;
    return {
      time,
      ...this.#said(decision),
      reason: "revoked",
      layer,
      pod: { namespace: pod.namespace, name: pod.name, uid: pod.id },
      destination: this.#place(dialled),
      ...(wasForwarded && { forwardedTo: this.#place(remote) }),
      errorCode: pod.errorCode,
      suppressed: 0,
    };
  }

  /** A connection on which the proxy has decided. */
  tellProxied({ caller, verdict, log, ...about }: Proxied): VerdictRecord {
    const { action, audited } = verdict;
    return {
      time: about.time,
      ...this.#said(about.error === undefined ? verdict : { ...verdict, error: about.error }),
      layer: "proxy",
      ...(caller.pod && { pod: caller.pod }),
      process: about.process,
      destination: this.#place(about.dialled),
      ...(action === "forward" && about.target && { forwardedTo: this.#place(about.target) }),
      errorCode: errorCode(caller.pod !== undefined, verdict.reason, caller.identity),
      ...(audited && { audited: this.#said(audited) }),
      ...(log.length > 0 && { log }),
      suppressed: about.suppressed,
    };
  }

  /** Empty where things have changed so much since that another verdict would come out. */
  #travel(event: KernelEvent, identity: Identity): readonly Verdict[] {
    if (this.#latest === undefined) return [];
    const verdicts = recall(this.#latest.guardSet, identity, event.dialled);
    const made = this.#made(event);
    return verdicts.some((verdict) => isSame(verdict, made)) ? verdicts : [];
  }

  #made({
    action,
    reason,
    policy: number,
    rule,
  }: Numbered): Pick<Decision, "action" | "reason" | "policy" | "rule"> {
    const policy = this.#dataplane.policies.ref(number);
    return { action, reason, ...(policy && { policy }), ...(rule !== NO_RULE && { rule }) };
  }

  /** `asked`: what the same question gives now. */
  #decided(event: Numbered, asked: readonly Decision[]): Decided {
    const made = this.#made(event);
    const error = asked.find((decision) => isSame(decision, made))?.error;
    return this.#said({ ...made, ...(error !== undefined && { error }) });
  }

  #said(decision: Decision): Decided {
    const { action, reason, policy } = decision;
    const rule = policy && decision.rule !== undefined ? this.#rule(policy, decision.rule) : undefined;
    const error = decision.error ?? (policy && this.#problem(reason, policy));
    return {
      verdict: action,
      reason,
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

  #problem(reason: Reason, policy: ObjectRef): string | undefined {
    const broken = reason === "policy-invalid" || reason === "target-not-found";
    return broken ? this.#latest?.policies.get(refKey(policy))?.problem?.message : undefined;
  }

  #place(at: KernelEvent["dialled"]): VerdictRecord["destination"] {
    if (this.#latest !== undefined) {
      const { routes, nodeAddresses } = this.#latest.guardSet;
      this.#names ??= serviceNames(routes.services, nodeAddresses);
    }
    const service = this.#names?.(at.address, at.port);
    return { address: at.address, port: at.port, ...(service !== undefined && { service }) };
  }
}

function describe(rule: Rule): Omit<RuleRecord, "index"> {
  const expression = rule.expressions.map(({ text }) => text).join(" && ");
  return { ...(rule.name !== "" && { name: rule.name }), ...(expression !== "" && { expression }) };
}

function errorCode(isPod: boolean, reason: Reason, identity: Identity): string {
  if (!isPod) return reason === "identity-mismatch" ? "" : "ERR_NGROK_28001";
  return identity.kind === "pod" ? identity.pod.errorCode : "";
}
