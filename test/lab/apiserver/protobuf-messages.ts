/** Field numbers of the kinds that kubectl creates in protobuf, as k8s.io/api publishes them (generated.proto). */

/** Field number -> field. */
export interface Message {
  readonly [number: number]: {
    readonly name: string;
    readonly type: "string" | "bytes" | "integer" | "boolean" | "message" | "map" | "int-or-string";
    readonly of?: Message;
    /** Of a map; its keys are strings. */
    readonly values?: "string" | "bytes";
    readonly repeated?: boolean;
  };
}

const string = (name: string) => ({ name, type: "string" }) as const;
const strings = (name: string) => ({ name, type: "string", repeated: true }) as const;
const integer = (name: string) => ({ name, type: "integer" }) as const;
const boolean = (name: string) => ({ name, type: "boolean" }) as const;
const map = (name: string, values: "string" | "bytes" = "string") => ({ name, type: "map", values }) as const;
const message = (name: string, of: Message) => ({ name, type: "message", of }) as const;
const list = (name: string, of: Message) => ({ name, type: "message", of, repeated: true }) as const;

const metadata = message("metadata", {
  1: string("name"),
  2: string("generateName"),
  3: string("namespace"),
  5: string("uid"),
  6: string("resourceVersion"),
  11: map("labels"),
  12: map("annotations"),
  14: strings("finalizers"),
});

const servicePort: Message = {
  1: string("name"),
  2: string("protocol"),
  3: integer("port"),
  4: { name: "targetPort", type: "int-or-string" },
  5: integer("nodePort"),
  6: string("appProtocol"),
};

const serviceSpec: Message = {
  1: list("ports", servicePort),
  2: map("selector"),
  3: string("clusterIP"),
  4: string("type"),
  5: strings("externalIPs"),
  7: string("sessionAffinity"),
  8: string("loadBalancerIP"),
  9: strings("loadBalancerSourceRanges"),
  10: string("externalName"),
  11: string("externalTrafficPolicy"),
  13: boolean("publishNotReadyAddresses"),
  17: string("ipFamilyPolicy"),
  18: strings("clusterIPs"),
  19: strings("ipFamilies"),
  20: boolean("allocateLoadBalancerNodePorts"),
  21: string("loadBalancerClass"),
  22: string("internalTrafficPolicy"),
};

const name: Message = { 1: string("name") };

/** `apiVersion/kind` -> its message. */
export const messages: ReadonlyMap<string, Message> = new Map<string, Message>([
  ["v1/Namespace", { 1: metadata }],
  ["v1/ConfigMap", { 1: metadata, 2: map("data"), 3: map("binaryData", "bytes"), 4: boolean("immutable") }],
  [
    "v1/Secret",
    {
      1: metadata,
      2: map("data", "bytes"),
      3: string("type"),
      4: map("stringData"),
      5: boolean("immutable"),
    },
  ],
  ["v1/Service", { 1: metadata, 2: message("spec", serviceSpec) }],
  [
    "v1/ServiceAccount",
    { 1: metadata, 3: list("imagePullSecrets", name), 4: boolean("automountServiceAccountToken") },
  ],
]);
