/** An environment with a variable of every kind, and what expressions over it give. */
import { compileExpression } from "../../../../agent/policy/cel/compile.ts";
import type { Environment } from "../../../../agent/policy/cel/environment.ts";
import { asText } from "../cel-conformance/canonical.ts";

export const environment: Environment = {
  variables: {
    conn: {
      client_ip: "string",
      client_port: "int",
      ts: { start: "timestamp" },
      pod: { name: "string", annotations: "map<string, string>", tags: "list<string>" },
    },
    vars: { any: "dyn", missing: "string", inner: { deep: { flag: "bool" } } },
  },
  refused: new Map([
    ["conn.client_ip.categories", "nobody here knows more of an address"],
    ["conn.tls", "TLS begins later"],
  ]),
  meant: new Map([["conn.pod.namme", "conn.pod.name"]]),
  bounds: new Map([["conn.pod.annotations", { entries: 128, characters: 1024 }]]),
};

export const values = {
  conn: {
    client_ip: "10.1.2.3",
    client_port: 40_000,
    ts: { start: new Date("2026-11-21T03:04:05.678Z") },
    pod: {
      name: "worker-a",
      annotations: new Map([
        ["ngrok.com/team", "ledger"],
        ["ngrok.com/zone", "b"],
      ]),
      tags: ["x", "y"],
    },
  },
  vars: { any: { list: [1, { deep: true }], text: "t", nothing: null } },
};

/** The value as text, such as `3`, `3u`, `double 3` or `"3"`; `error: why`; or `refused: why`. */
export function result(text: string, over: object = {}, random?: () => number): string {
  const compiled = compileExpression(text, environment, "any");
  if (compiled instanceof Error) return `refused: ${compiled.message}`;
  const value = compiled.evaluate({ ...values, ...over }, random);
  return value instanceof Error ? `error: ${value.message}` : asText(value);
}
