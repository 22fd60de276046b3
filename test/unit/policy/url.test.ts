import { describe, expect, it } from "vitest";
import {
  type EndpointUrl,
  parseEndpointUrl,
  parseForwardUrl,
  parseInternalUrl,
  parseUpstreamUrl,
  urlKey,
} from "../../../agent/policy/url.ts";

const ledger = { namespace: "payments", name: "ledger" };
type Row = [text: string, expected: EndpointUrl | string];

function table(parse: (text: string) => EndpointUrl | Error, rows: readonly Row[]): void {
  it.each(rows)("reads %s", (text, expected) => {
    const url = parse(text);
    if (typeof expected === "string") {
      expect(url).toBeInstanceOf(Error);
      expect((url as Error).message).toContain(expected);
      expect((url as Error).message).toMatch(/: write /);
    } else expect(url).toEqual(expected);
  });
}

describe("the url of a Kubernetes-bound endpoint", () => {
  table(parseEndpointUrl, [
    [
      "http://ledger.payments",
      { scheme: "http", host: "ledger.payments", port: undefined, defaultPort: 80, service: ledger },
    ],
    [
      "ledger.payments",
      { scheme: "https", host: "ledger.payments", port: undefined, defaultPort: 443, service: ledger },
    ],
    [
      "ledger.payments:8443",
      { scheme: "https", host: "ledger.payments", port: 8443, defaultPort: 443, service: ledger },
    ],
    [
      "tls://ledger.payments",
      { scheme: "tls", host: "ledger.payments", port: undefined, defaultPort: 443, service: ledger },
    ],
    [
      "tcp://ledger.payments:5432",
      { scheme: "tcp", host: "ledger.payments", port: 5432, defaultPort: 5432, service: ledger },
    ],
    [
      "HTTP://Ledger.Payments:80/",
      { scheme: "http", host: "ledger.payments", port: 80, defaultPort: 80, service: ledger },
    ],
    // A namespace may be called `internal`; a Kubernetes-bound url has no other reading.
    [
      "http://a.internal",
      {
        scheme: "http",
        host: "a.internal",
        port: undefined,
        defaultPort: 80,
        service: { namespace: "internal", name: "a" },
      },
    ],
    ["tcp://ledger.payments", "a tcp url needs a port"],
    ["http://ledger", "does not name a Service and its namespace"],
    ["http://a.b.svc", "more than Service and namespace: write a.b as the host"],
    ["http://a.b.svc.cluster.local.:80", "more than Service and namespace: write a.b as the host"],
    ["http://a.b.c", "does not name a Service and its namespace"],
    ["https://example-hostname.ngrok.io", "does not name a Service and its namespace"],
    ["http://*.payments", "does not name a Service and its namespace"],
    ["http://-a.b", "`-a.b` is no host name"],
    ["http://a..b", "`a..b` is no host name"],
    ["", "it has no host"],
    ["http://", "it has no host"],
    ["ftp://ledger.payments", "its scheme `ftp` is none of http, https, tcp, tls"],
    ["http://ledger.payments:0", "`0` is no port from 1 to 65535"],
    ["http://ledger.payments:65536", "`65536` is no port from 1 to 65535"],
    ["http://ledger.payments:080", "`080` is no port from 1 to 65535"],
    ["http://ledger.payments:", "`` is no port from 1 to 65535"],
    ["http://ledger.payments/path", "more than scheme, host and port"],
    ["http://user@ledger.payments", "more than scheme, host and port"],
    ["http://ledger.payments?x", "more than scheme, host and port"],
    [" http://ledger.payments", "its scheme ` http`"],
    ["http://10.0.0.1", "does not name a Service and its namespace"],
    [`http://${"a".repeat(600)}.b`, "over 512 characters"],
    [`http://${"a".repeat(64)}.b`, "is no host name"],
  ]);
});

describe("the url of an internal endpoint", () => {
  table(parseInternalUrl, [
    [
      "http://ledger.payments.internal",
      { scheme: "http", host: "ledger.payments.internal", port: undefined, defaultPort: 80, service: ledger },
    ],
    [
      "HTTPS://Ledger.Payments.INTERNAL.:8443",
      { scheme: "https", host: "ledger.payments.internal", port: 8443, defaultPort: 443, service: ledger },
    ],
    [
      "tcp://ab12c-svc-ns.internal:5432",
      { scheme: "tcp", host: "ab12c-svc-ns.internal", port: 5432, defaultPort: 5432 },
    ],
    [
      "https://*.apps.internal",
      { scheme: "https", host: "*.apps.internal", port: undefined, defaultPort: 443 },
    ],
    ["a.b.c.d.internal", { scheme: "https", host: "a.b.c.d.internal", port: undefined, defaultPort: 443 }],
    ["tcp://ledger.payments.internal", "a tcp url needs a port"],
    ["http://ledger.payments", "does not end in .internal"],
    ["http://payments-service.internal.example.com", "does not end in .internal"],
    ["http://internal", "does not end in .internal"],
    ["http://evilinternal", "does not end in .internal"],
  ]);
});

describe("the url forward-internal names", () => {
  table(parseForwardUrl, [
    [
      "http://ledger.payments.internal",
      { scheme: "http", host: "ledger.payments.internal", port: undefined, defaultPort: 80, service: ledger },
    ],
    [
      "https://ledger.example.com",
      { scheme: "https", host: "ledger.example.com", port: undefined, defaultPort: 443 },
    ],
    ["http://10.0.0.1", "an IP address is no forward target"],
    ["tcp://[2001:db8::1]:5432", "an IP address is no forward target"],
    ["http://[::ffff:192.0.2.1]", "an IP address is no forward target"],
    ["http://0x7f.1", "an IP address is no forward target"],
    ["http://127.0x1", "an IP address is no forward target"],
    ["http://2130706433", "an IP address is no forward target"],
    ["http://192.0.2.1.", "an IP address is no forward target"],
    ["http://*.payments.internal", "a wildcard is no forward target"],
    ["http://localhost", "its host is a single word"],
    ["http://[::1", "more than scheme, host and port"],
    ["http://[nonsense]", "is no host name"],
  ]);
});

describe("an upstream url", () => {
  table(parseUpstreamUrl, [
    [
      "http://ledger.payments:8080",
      { scheme: "http", host: "ledger.payments", port: 8080, defaultPort: 80, service: ledger },
    ],
    [
      "http://ledger.payments:8080/healthz?x=1#y",
      { scheme: "http", host: "ledger.payments", port: 8080, defaultPort: 80, service: ledger },
    ],
    [
      "ledger.payments.svc:8080",
      { scheme: "http", host: "ledger.payments.svc", port: 8080, defaultPort: 80, service: ledger },
    ],
    [
      "https://ledger.payments.svc.cluster.local.",
      {
        scheme: "https",
        host: "ledger.payments.svc.cluster.local",
        port: undefined,
        defaultPort: 443,
        service: ledger,
      },
    ],
    [
      "ledger.payments:443",
      { scheme: "https", host: "ledger.payments", port: 443, defaultPort: 443, service: ledger },
    ],
    ["8080", { scheme: "http", host: "localhost", port: 8080, defaultPort: 80 }],
    ["http://localhost", { scheme: "http", host: "localhost", port: undefined, defaultPort: 80 }],
    [
      "https://api.example.com",
      { scheme: "https", host: "api.example.com", port: undefined, defaultPort: 443 },
    ],
    ["tcp://[2001:db8::1]:5432", { scheme: "tcp", host: "2001:db8::1", port: 5432, defaultPort: 5432 }],
    ["http://192.0.2.1:80", { scheme: "http", host: "192.0.2.1", port: 80, defaultPort: 80 }],
    ["tcp://ledger.payments", "a tcp url needs a port"],
    ["file:///etc/passwd", "its scheme `file`"],
    ["99999", "is no port from 1 to 65535"],
    ["", "it has no host"],
  ]);
});

describe("the key of a url", () => {
  it("is the same with the default port written and left out, and differs by scheme", () => {
    const key = (text: string) => urlKey(parseInternalUrl(text) as EndpointUrl);
    expect(key("http://A.internal.:80")).toBe(key("http://a.internal"));
    expect(key("https://a.internal")).not.toBe(key("http://a.internal:443"));
  });
});
