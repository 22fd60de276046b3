/** What the documents say of each example: who dials, whom, and what must come of it. */

export interface Row {
  /** `namespace/pod`, or "unannounced": a pod whose object has not reached the agent. */
  readonly from: string;
  /** host:port */
  readonly to: string;
  readonly family?: 6;
  readonly verdict: "allow" | "deny" | "forward";
  readonly reason: string;
  /** The pod that must have answered, for what is not denied. */
  readonly answer?: string;
}

const LEDGER = "ledger.my-namespace:80";
const CATALOG = "catalog.my-namespace:80";
const VAULT = "vault.my-namespace:80";
const QUEUE = "queue.my-namespace:80";

export const documented: readonly { readonly title: string; readonly rows: readonly Row[] }[] = [
  {
    title: "Fail-closed: only pods of `payments`; who cannot be identified is denied",
    rows: [
      {
        from: "payments/billing",
        to: LEDGER,
        verdict: "allow",
        reason: "rule",
        answer: "my-namespace/ledger",
      },
      {
        from: "payments/billing",
        to: LEDGER,
        family: 6,
        verdict: "allow",
        reason: "rule",
        answer: "my-namespace/ledger",
      },
      { from: "sandbox/crawler", to: LEDGER, verdict: "deny", reason: "rule" },
      { from: "sandbox/crawler", to: LEDGER, family: 6, verdict: "deny", reason: "rule" },
      { from: "sandbox/node-tool", to: LEDGER, verdict: "deny", reason: "rule" },
      { from: "unannounced", to: LEDGER, verdict: "deny", reason: "rule" },
    ],
  },
  {
    title: "Fail-open: the same, but who cannot be identified gets in",
    rows: [
      {
        from: "payments/billing",
        to: CATALOG,
        verdict: "allow",
        reason: "rule",
        answer: "my-namespace/catalog",
      },
      { from: "sandbox/crawler", to: CATALOG, verdict: "deny", reason: "rule" },
      {
        from: "sandbox/node-tool",
        to: CATALOG,
        verdict: "allow",
        reason: "rule",
        answer: "my-namespace/catalog",
      },
      { from: "unannounced", to: CATALOG, verdict: "allow", reason: "rule", answer: "my-namespace/catalog" },
    ],
  },
  {
    title: "AgentEndpoint with a public url: guards the Service of its upstream",
    rows: [
      {
        from: "payments/billing",
        to: "payments-svc.payments:8080",
        verdict: "allow",
        reason: "rule",
        answer: "payments/payments-svc",
      },
      { from: "sandbox/crawler", to: "payments-svc.payments:8080", verdict: "deny", reason: "rule" },
    ],
  },
  {
    title: "CloudEndpoint that forwards to another Service",
    rows: [
      {
        from: "payments/billing",
        to: "example-service.my-namespace:80",
        verdict: "forward",
        reason: "rule",
        answer: "my-namespace/my-service",
      },
      { from: "sandbox/crawler", to: "example-service.my-namespace:80", verdict: "deny", reason: "rule" },
    ],
  },
  {
    title: "Allow-list by name",
    rows: [
      { from: "sandbox/worker-a", to: QUEUE, verdict: "allow", reason: "rule", answer: "my-namespace/queue" },
      { from: "sandbox/crawler", to: QUEUE, verdict: "deny", reason: "rule" },
    ],
  },
  {
    title: "Annotation k8s.ngrok.com/environment: production",
    rows: [
      {
        from: "sandbox/production",
        to: VAULT,
        verdict: "allow",
        reason: "rule",
        answer: "my-namespace/vault",
      },
      { from: "sandbox/staging", to: VAULT, verdict: "deny", reason: "rule" },
      { from: "sandbox/crawler", to: VAULT, verdict: "deny", reason: "expression-error" },
    ],
  },
  {
    title: "Multi-tenant: each tenant admits only its own pods",
    rows: [
      {
        from: "tenant1/app",
        to: "webapp-tenant1.tenant1:80",
        verdict: "forward",
        reason: "rule",
        answer: "tenant1/webapp",
      },
      { from: "tenant2/app", to: "webapp-tenant1.tenant1:80", verdict: "deny", reason: "rule" },
    ],
  },
];
