/** Pods: defaulted, unchangeable but for what a running pod can take, and stopped by their kubelet. */
import { arrayOr, at, equal, type JsonObject, objectOr, omit } from "../json.ts";
import type { KubeObject } from "../object.ts";
import { type Cause, invalid, required } from "../status.ts";
import type { KindRules } from "./rules.ts";

export const podRules: KindRules = {
  create(object) {
    const spec = objectOr(object.spec);
    const causes = check(spec);
    if (causes.length > 0) throw invalid({ group: "", kind: "Pod", name: object.metadata.name }, causes);
    object.spec = withDefaults(spec);
    object.status = { phase: "Pending", qosClass: qosClass(spec), ...objectOr(object.status) };
  },
  update(next, current) {
    const why = unchangeable(objectOr(next.spec), objectOr(current.spec));
    if (why !== undefined) throw invalid({ group: "", kind: "Pod", name: next.metadata.name }, [why]);
  },
  gracePeriod(object, asked) {
    const running = at(object, "spec.nodeName") !== undefined && !isCompleted(object);
    const own = at(object, "spec.terminationGracePeriodSeconds");
    return running ? (asked ?? (typeof own === "number" ? own : 30)) : 0;
  },
};

function isCompleted(object: KubeObject): boolean {
  return ["Succeeded", "Failed"].includes(String(at(object, "status.phase")));
}

function check(spec: JsonObject): Cause[] {
  const containers = arrayOr(spec.containers);
  if (containers.length === 0) return [required("spec.containers")];
  return containers.flatMap((container, index) =>
    ["name", "image"]
      .filter((field) => !at(container, field))
      .map((field) => required(`spec.containers[${index}].${field}`)),
  );
}

function withDefaults(spec: JsonObject): JsonObject {
  const account = spec.serviceAccountName ?? spec.serviceAccount ?? "default";
  const containers = arrayOr(spec.containers).map((container) => withContainerDefaults(objectOr(container)));
  return {
    restartPolicy: "Always",
    terminationGracePeriodSeconds: 30,
    dnsPolicy: "ClusterFirst",
    schedulerName: "default-scheduler",
    securityContext: {},
    enableServiceLinks: true,
    ...spec,
    serviceAccountName: account,
    serviceAccount: account,
    containers,
  };
}

function withContainerDefaults(container: JsonObject): JsonObject {
  const ports = arrayOr(container.ports).map((port) => ({ protocol: "TCP", ...objectOr(port) }));
  return {
    imagePullPolicy: "IfNotPresent",
    resources: {},
    terminationMessagePath: "/dev/termination-log",
    terminationMessagePolicy: "File",
    ...container,
    ...(ports.length === 0 ? {} : { ports }),
  };
}

function qosClass(spec: JsonObject): string {
  const resources = arrayOr(spec.containers).map((container) => objectOr(at(container, "resources")));
  const limited = (limits: JsonObject) => limits.cpu !== undefined && limits.memory !== undefined;
  if (
    resources.every(({ limits, requests }) => limited(objectOr(limits)) && equal(requests ?? limits, limits))
  ) {
    return "Guaranteed";
  }
  return resources.some(({ limits, requests }) => limits ?? requests) ? "Burstable" : "BestEffort";
}

/** Why `next` is not a possible change of `current`; undefined if it is. */
function unchangeable(next: JsonObject, current: JsonObject): Cause | undefined {
  if (equal(changeless(next), changeless(current))) return undefined;
  const fields = ["spec.containers[*].image", "spec.initContainers[*].image", "spec.activeDeadlineSeconds"];
  const rest =
    "spec.tolerations (only additions to existing tolerations), spec.terminationGracePeriodSeconds";
  const message = `Forbidden: pod updates may not change fields other than ${fields.join(",")},${rest}`;
  return { reason: "FieldValueForbidden", field: "spec", message };
}

function changeless(spec: JsonObject): JsonObject {
  const images = (containers: unknown) =>
    arrayOr(containers).map((container) => omit(objectOr(container), "image"));
  return {
    ...omit(spec, "activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"),
    containers: images(spec.containers),
    initContainers: images(spec.initContainers),
  };
}
