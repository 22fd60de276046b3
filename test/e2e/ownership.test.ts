/** Whose Service is it: nobody opens or shuts what is another namespace's, unless trusted or permitted. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { KubeObject } from "../lab/kube-objects.ts";
import { obstacle } from "./rig.ts";
import { allowed, both, denied, forwarded, unguarded } from "./support/attempt.ts";
import { agentEndpoint, cloudEndpoint, denyAll, failClosed } from "./support/endpoints.ts";
import { forwardTo, namespaces, pod, server } from "./support/objects.ts";
import { openStage, type Stage } from "./support/stage.ts";

const LEDGER = "ledger.shop:80";
const CATALOG = "catalog.shop:80";

/** Of the tenant: shuts the catalog, twice, and opens the ledger. */
const shut = cloudEndpoint("tenant/shut", "http://catalog.shop", [denyAll]);
const shutUpstream = agentEndpoint(
  "tenant/shut-upstream",
  "https://tenant.example.com",
  "http://catalog.shop:80",
  failClosed("tenant", "http://catalog.shop.internal"),
);
const open = cloudEndpoint("tenant/open", "http://ledger.shop", [forwardTo("http://ledger.shop.internal")]);

const untouched = both(unguarded("shop/catalog"));
/** By the shop's own endpoint. */
const ownPolicy = { policy: { kind: "CloudEndpoint", namespace: "shop", name: "own" } };
const refNotPermitted = (service: string) => ({
  status: "False",
  reason: "RefNotPermitted",
  message: expect.stringMatching(
    new RegExp(
      `may not guard Service ${service}: move it to namespace shop, or permit it there by a ReferenceGrant`,
    ),
  ),
});

let edits = 0;

/** With another generation: the condition of an object that nobody edits is not written twice in a minute. */
function noticed(object: KubeObject): KubeObject {
  const { spec } = object as KubeObject & { spec: object };
  return { ...object, spec: { ...spec, description: `edit ${edits++}` } } as KubeObject;
}

/** In `namespace`: objects of `from` (`Kind namespace`) may refer to `service`. */
function referenceGrant(namespace: string, name: string, from: string, service: string): KubeObject {
  const [kind, of] = from.split(" ");
  return {
    apiVersion: "gateway.networking.k8s.io/v1beta1",
    kind: "ReferenceGrant",
    metadata: { namespace, name },
    spec: {
      from: [{ group: "ngrok.k8s.ngrok.com", kind, namespace: of }],
      to: [{ group: "", kind: "Service", name: service }],
    },
  } as KubeObject;
}

describe.skipIf(obstacle() !== undefined)("an endpoint", () => {
  let stage: Stage;

  beforeAll(async () => {
    stage = await openStage("ownership", [
      namespaces("shop", "tenant", "platform"),
      [...server("shop", "ledger"), ...server("shop", "catalog"), ...server("tenant", "decoy")],
      [pod("shop", "client"), pod("tenant", "client")],
      [cloudEndpoint("shop/own", "http://ledger.shop", failClosed("shop", "http://ledger.shop.internal"))],
      [shut, shutUpstream, open],
    ]);
    await stage.startAgent();
  });

  afterAll(async () => {
    await stage?.close();
  });

  test("in a tenant's namespace does not shut another namespace's Service", async () => {
    expect(await stage.dial("shop/client", CATALOG)).toMatchObject(untouched);
    expect(await stage.dial("tenant/client", CATALOG)).toMatchObject(untouched);
    expect(await stage.dial("tenant/client", stage.podAt("shop/catalog", 8080))).toMatchObject(untouched);
  });

  test("in a tenant's namespace does not open what another namespace has shut", async () => {
    const refused = denied({ reason: "rule", rule: { index: 1 }, ...ownPolicy });
    expect(await stage.dial("tenant/client", LEDGER)).toMatchObject(both(refused));
    expect(await stage.dial("tenant/client", stage.podAt("shop/ledger", 8080))).toMatchObject(both(refused));
    const welcome = allowed("shop/ledger", { reason: "rule", ...ownPolicy });
    expect(await stage.dial("shop/client", LEDGER)).toMatchObject(both(welcome));
  });

  test("that may not guard a Service is told so, and what to do", async () => {
    await Promise.all([
      stage.untilAccepted("CloudEndpoint", "tenant/shut", refNotPermitted("shop/catalog")),
      stage.untilAccepted("AgentEndpoint", "tenant/shut-upstream", refNotPermitted("shop/catalog")),
      stage.untilAccepted("CloudEndpoint", "tenant/open", refNotPermitted("shop/ledger")),
      stage.untilAccepted("CloudEndpoint", "shop/own", { status: "True", reason: "Accepted" }),
    ]);
  });

  test("does not step between another namespace's policy and its own Service", async () => {
    // Registered under the url that the shop's policy forwards to. In the shop's namespace it is found there.
    const door = (key: string, upstream: string) => {
      const endpoint = agentEndpoint(key, "http://ledger.shop.internal", upstream, []);
      const { trafficPolicy: _, ...spec } = (endpoint as KubeObject & { spec: { trafficPolicy: unknown } })
        .spec;
      return { ...endpoint, spec } as KubeObject;
    };
    const trap = door("tenant/trap", "http://decoy.tenant:80");
    const own = door("shop/door", "http://catalog.shop:80");
    await stage.lab.apply([trap]);
    await stage.untilAccepted("AgentEndpoint", "tenant/trap", { reason: "NotApplicable" });
    expect(await stage.dial("shop/client", LEDGER)).toMatchObject(both(allowed("shop/ledger")));
    await stage.lab.apply([own]);
    await stage.until("shop/client", LEDGER, both(forwarded("shop/catalog", "shop/catalog")));
    await stage.lab.delete(own);
    await stage.until("shop/client", LEDGER, both(allowed("shop/ledger")));
    await stage.lab.delete(trap);
  });

  test("in namespace default guards other namespaces' Services, as the documents' examples do", async () => {
    const rules = failClosed("shop", "http://catalog.shop.internal");
    const endpoint = cloudEndpoint("default/guard", "http://catalog.shop", rules);
    await stage.lab.apply([endpoint]);
    const policy = { kind: "CloudEndpoint", namespace: "default", name: "guard" };
    await stage.until("tenant/client", CATALOG, both(denied({ reason: "rule", policy })));
    const welcome = allowed("shop/catalog", { reason: "rule", policy });
    expect(await stage.dial("shop/client", CATALOG)).toMatchObject(both(welcome));
    await stage.lab.delete(endpoint);
    await stage.until("tenant/client", CATALOG, untouched);
  });

  test("is permitted by a ReferenceGrant for this kind, namespace and Service, and by no other", async () => {
    await stage.lab.apply([
      referenceGrant("shop", "other-kind", "AgentEndpointPolicy tenant", "catalog"),
      referenceGrant("shop", "other-namespace", "CloudEndpoint elsewhere", "catalog"),
      referenceGrant("tenant", "own-namespace", "CloudEndpoint tenant", "catalog"),
      referenceGrant("shop", "other-service", "CloudEndpoint tenant", "ledger"),
    ]);
    await stage.lab.apply([noticed(open)]);
    // The last one permits something else; it can restrict there, and open nothing.
    await stage.untilAccepted("CloudEndpoint", "tenant/open", { status: "True", reason: "Accepted" });
    expect(await stage.dial("tenant/client", LEDGER)).toMatchObject(
      both(denied({ reason: "rule", ...ownPolicy })),
    );
    expect(await stage.dial("shop/client", CATALOG)).toMatchObject(untouched);

    const grant = referenceGrant("shop", "grant", "CloudEndpoint tenant", "catalog");
    await stage.lab.apply([grant]);
    const policy = { kind: "CloudEndpoint", namespace: "tenant", name: "shut" };
    await stage.until("shop/client", CATALOG, both(denied({ reason: "rule", policy })));
    await stage.lab.apply([noticed(shut)]);
    await stage.untilAccepted("CloudEndpoint", "tenant/shut", { status: "True", reason: "Accepted" });

    await stage.lab.delete(grant);
    await stage.until("shop/client", CATALOG, untouched);
    await stage.lab.apply([noticed(shut)]);
    await stage.untilAccepted("CloudEndpoint", "tenant/shut", refNotPermitted("shop/catalog"));
  });

  test("is trusted where --trusted-namespaces says so, and nowhere else", async () => {
    const rules = failClosed("shop", "http://catalog.shop.internal");
    await stage.lab.apply([
      cloudEndpoint("default/guard", "http://ledger.shop", [denyAll]),
      cloudEndpoint("platform/guard", "http://catalog.shop", rules),
    ]);
    await stage.until(
      "shop/client",
      LEDGER,
      both(denied({ reason: "rule", policy: { namespace: "default" } })),
    );
    expect(await stage.dial("tenant/client", CATALOG)).toMatchObject(untouched);
    await stage.restartAgent("--trusted-namespaces", "platform");
    const policy = { kind: "CloudEndpoint", namespace: "platform", name: "guard" };
    expect(await stage.dial("tenant/client", CATALOG)).toMatchObject(
      both(denied({ reason: "rule", policy })),
    );
    expect(await stage.dial("shop/client", LEDGER)).toMatchObject(both(allowed("shop/ledger")));
    await Promise.all([
      stage.untilAccepted("CloudEndpoint", "default/guard", refNotPermitted("shop/ledger")),
      stage.untilAccepted("CloudEndpoint", "platform/guard", { status: "True", reason: "Accepted" }),
    ]);
  });
});
