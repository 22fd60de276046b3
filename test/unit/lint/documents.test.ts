import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { told } from "./rig.ts";

const folder = join(import.meta.dirname, "documents");

const annotation = `conn.k8s.pod.metadata.annotations["k8s.ngrok.com/stage"]`;
const tenant = `conn.k8s.pod.metadata.annotations["k8s.ngrok.com/tenant"]`;
const oneTenant = "conn.k8s.pod.metadata.annotations['k8s.ngrok.com/tenant']";

/** The documents' examples, written anew, and every trap that is known to be in them. */
const known: Readonly<Record<string, readonly string[]>> = {
  "annotation.yaml": [
    "warning PODGATE_NO_NAMESPACE 4: metadata",
    `warning PODGATE_MISSING_KEY 18: ${annotation}`,
    `warning PODGATE_SELF_ASSERTED 18: ${annotation}`,
  ],
  "by-country.yaml": ["warning PODGATE_EMPTY_VARIABLE 4: conn.geo.country_code"],
  "deny-an-address.yaml": [],
  "fail-closed.yaml": [],
  "fail-open.yaml": ["warning PODGATE_FAIL_OPEN 4: conn.k8s.pod.metadata.error_code"],
  "forward-by-address.yaml": [],
  "http-steps.yaml": ["error ERR_NGROK_2236 15: on_http_respons"],
  "multi-tenant.yaml": [],
  "one-liners.yaml": [
    "warning PODGATE_IDENTITY_UNHANDLED 7: expressions",
    "warning PODGATE_IDENTITY_UNHANDLED 11: expressions",
    `warning PODGATE_MISSING_KEY 15: ${oneTenant}`,
    `warning PODGATE_SELF_ASSERTED 15: ${oneTenant}`,
    "warning PODGATE_FAIL_OPEN 19: conn.k8s.pod.metadata.error_code",
    "warning PODGATE_FAIL_OPEN 23: conn.k8s.pod.metadata.error_message",
  ],
  "outside-a-namespace-agent.yaml": ["warning PODGATE_NO_NAMESPACE 4: metadata"],
  "outside-a-namespace-cloud.yaml": ["warning PODGATE_NO_NAMESPACE 3: metadata"],
  "pods-by-name-quoted.yaml": ["warning PODGATE_NO_NAMESPACE 4: metadata"],
  "pods-by-name.yaml": [
    "warning PODGATE_NO_NAMESPACE 4: metadata",
    'error PODGATE_YAML_TAG 18: !(conn.k8s.pod.metadata.name in ["nightly-1", "nightly-2"])',
  ],
  "restrict-ips.yaml": ["warning ERR_NGROK_393 23: config"],
  "restrict-then-forward.json": [],
  "set-vars.yaml": [],
  "shared-policy.yaml": [
    "warning PODGATE_NO_NAMESPACE 4: metadata",
    "warning PODGATE_NO_NAMESPACE 17: metadata",
  ],
  "terminate-tls.yaml": ["warning PODGATE_NO_NAMESPACE 3: metadata"],
  "tls-cloud-endpoint.yaml": [],
  "tenant-annotation.yaml": [
    `warning PODGATE_MISSING_KEY 3: ${tenant}`,
    `warning PODGATE_SELF_ASSERTED 3: ${tenant}`,
  ],
};

describe("lint on the documents' examples", () => {
  it("knows every one of them", () => {
    expect(globSync("*", { cwd: folder }).sort()).toEqual(Object.keys(known).sort());
  });

  it.each(Object.entries(known))("reports of %s exactly the known traps", (name, traps) => {
    const text = readFileSync(join(folder, name), "utf8");
    expect(told(text, { namespace: undefined })).toEqual(traps);
  });
});
