/** Where a policy may send a connection: trust test 52, as the kernel carries it out and as the proxy does. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { both, denied } from "./support/attempt.ts";
import { cloudEndpoint, denyAll, denyWhere } from "./support/endpoints.ts";
import { forwardTo, guard, namespaces, pod, type RuleWish, server, service } from "./support/objects.ts";
import { openStage, type Stage } from "./support/stage.ts";

const someMoment = denyWhere("conn.client_port == 1");
const computed = (url: string) =>
  forwardTo(`\${conn.client_port > 0 ? '${url}' : 'http://none.bank.internal'}`);

/** No Service can be meant by these, and none may be found. */
const NO_TARGETS: Readonly<Record<string, string>> = {
  metadata: "http://169.254.169.254",
  mapped: "http://[::ffff:169.254.169.254]",
  linklocal: "http://[fe80::1]",
  loopback: "http://127.0.0.1:8080",
  loopback6: "http://[::1]:8080",
  hexadecimal: "http://0x7f.1",
  decimal: "http://2130706433",
  short: "http://10.1",
  word: "http://localhost",
  apiserver: "https://10.96.0.1",
  apiname: "https://kubernetes.default.svc",
  outside: "https://example.com",
  nowhere: "http://nothing.shop.internal",
  nobody: "http://nothing.internal",
  wildcard: "http://*.internal",
};
/** Services that have no address of their own, whatever they say is behind them. */
const HOLLOW: Readonly<Record<string, string>> = {
  alias: "http://alias.bank.internal",
  headless: "http://headless.bank.internal",
};
/** Addresses that no API server gives a Service: by them a forward would reach what is the caller's alone. */
const INWARD: Readonly<Record<string, readonly [string, string]>> = {
  itself: ["127.0.0.1", "::1"],
  link: ["169.254.169.254", "fe80::1"],
};
const all = {
  ...NO_TARGETS,
  ...HOLLOW,
  ...Object.fromEntries(Object.keys(INWARD).map((name) => [name, `http://${name}.bank.internal`])),
};

let stage: Stage;

beforeAll(async () => {
  if (obstacle() !== undefined) return;
  // A backend of each Service's own: what has the same one meets the other's policy too.
  let backend = 9000;
  const guarded = (name: string, rules: readonly RuleWish[]) =>
    [
      service("bank", name, { selector: { app: "front" }, ports: [{ port: 80, targetPort: backend++ }] }),
      guard("bank", name, rules),
    ] as KubeObject[];
  stage = await openStage("targets", [
    namespaces("bank", "shop", "rival"),
    [
      pod("bank", "front", { labels: { app: "front" }, ports: [8080] }),
      pod("shop", "client"),
    ] as KubeObject[],
    [
      service("bank", "alias", { type: "ExternalName", externalName: "metadata.google.internal" }),
      service("bank", "headless", { clusterIP: "None", selector: {} }),
      slice("headless", "IPv4", "169.254.169.254"),
      slice("headless", "IPv6", "::1"),
      ...Object.keys(INWARD).map((name) => service("bank", name)),
    ] as KubeObject[],
    ...Object.entries(all).flatMap(([name, url]) => [
      guarded(`${name}-kernel`, [forwardTo(url)]),
      guarded(`${name}-proxy`, [someMoment, forwardTo(url)]),
      guarded(`${name}-computed`, [computed(url)]),
    ]),
    server("rival", "vault"),
    server("rival", "private"),
    [
      guard("rival", "vault", [denyAll]),
      guard("rival", "private", [someMoment, denyWhere('conn.k8s.pod.metadata.namespace != "rival"')]),
      cloudEndpoint("rival/trap", "http://shared.internal", [forwardTo("http://vault.rival.internal")]),
    ] as KubeObject[],
    ...["vault", "private"].flatMap((name) => [
      guarded(`${name}-kernel`, [forwardTo(`http://${name}.rival.internal`)]),
      guarded(`${name}-proxy`, [someMoment, forwardTo(`http://${name}.rival.internal`)]),
      guarded(`${name}-computed`, [computed(`http://${name}.rival.internal`)]),
    ]),
    guarded("shared-kernel", [forwardTo("http://shared.internal")]),
    guarded("shared-proxy", [someMoment, forwardTo("http://shared.internal")]),
    guarded("shared-computed", [computed("http://shared.internal")]),
  ]);
  await stage.startAgent();
  const { store, faults } = stage.lab.api;
  const { resourceVersion } = store.get("pods", "podgate-system", stage.agent).metadata;
  for (const [name, clusterIPs] of Object.entries(INWARD)) {
    const { spec, metadata, ...others } = store.get("services", "bank", name);
    const changed = { ...(spec as object), clusterIP: clusterIPs[0], clusterIPs };
    const object = { ...others, metadata: { ...metadata, resourceVersion }, spec: changed };
    faults.sendLine(JSON.stringify({ type: "MODIFIED", object }), { resource: "services" });
  }
});

afterAll(async () => {
  await stage?.close();
});

/** Hand-made, as only who may write EndpointSlices can. */
function slice(of: string, addressType: "IPv4" | "IPv6", address: string) {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${of}-${addressType.toLowerCase()}`,
      namespace: "bank",
      labels: { "kubernetes.io/service-name": of },
    },
    addressType,
    ports: [{ port: 80, protocol: "TCP" }],
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
  };
}

const refusal = expect.stringMatching(
  /^(policy-invalid|target-not-found|target-not-routable|expression-error)$/,
);
/** By the policy of the Service that was dialled, and no other. */
const byKernel = (name: string) =>
  both(denied({ reason: refusal, layer: expect.stringMatching(/^connect/), policy: { name } }));
const byProxy = (name: string) =>
  both({ saw: "ECONNRESET", line: { verdict: "deny", reason: refusal, layer: "proxy", policy: { name } } });

describe.skipIf(obstacle() !== undefined)("52: a forward", () => {
  beforeAll(async () => {
    const reset = both({ saw: "ECONNRESET", line: { layer: "proxy" } });
    await stage.until("shop/client", "private.rival:80", reset);
    await stage.until("shop/client", "link-kernel.bank:80", byKernel("link-kernel"));
  });

  test.each(Object.keys(all))("to no Service leads nowhere: %s", async (name) => {
    expect(await stage.dial("shop/client", `${name}-kernel.bank:80`)).toMatchObject(
      byKernel(`${name}-kernel`),
    );
    // A text that is no target makes the whole policy invalid, which the kernel can say.
    const behind = await stage.dial("shop/client", `${name}-proxy.bank:80`);
    const wanted = behind.IPv4.line?.reason === "policy-invalid" ? byKernel : byProxy;
    expect(behind).toMatchObject(wanted(`${name}-proxy`));
    const computed = `${name}-computed`;
    expect(await stage.dial("shop/client", `${computed}.bank:80`)).toMatchObject(byProxy(computed));
  });

  test.each([
    "vault",
    "private",
  ])("to another tenant's Service meets that tenant's policy: %s", async (name) => {
    const policy = { namespace: "rival", name };
    const line = { verdict: "deny", reason: "rule", policy };
    await stage.until("shop/client", `${name}-proxy.bank:80`, both({ saw: "ECONNRESET", line }));
    for (const how of ["kernel", "computed"]) {
      expect(await stage.dial("shop/client", `${name}-${how}.bank:80`)).toMatchObject(
        both({ saw: expect.stringMatching(/^(EPERM|ECONNRESET)$/), line }),
      );
    }
  });

  test("does not fall into what another tenant registered under a url that is nobody's", async () => {
    expect(await stage.dial("shop/client", "shared-kernel.bank:80")).toMatchObject(byKernel("shared-kernel"));
    for (const name of ["shared-proxy", "shared-computed"])
      expect(await stage.dial("shop/client", `${name}.bank:80`)).toMatchObject(byProxy(name));
  });
});
