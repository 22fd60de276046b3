/** Carries out the actions of a rule that matched. */
import { type Cidr, cidrContains, parseCidr } from "../model/cidr.ts";
import { UNKNOWN } from "../model/connection.ts";
import { sameSettings, type TlsSettings } from "../model/tls.ts";
import { plainValue, tooLarge } from "./plain-value.ts";
import type { CidrTemplate, PolicyAction, Template } from "./policy.ts";
import { notARange } from "./restrict-ips-action.ts";
import { Missing, type Run } from "./run.ts";
import { tlsSettings } from "./terminate-tls-action.ts";
import { tlsResult } from "./tls-result.ts";

export type ActionResult =
  /** Nothing is decided: the next action, or the next rule. */
  | "next"
  | { readonly kind: "deny"; readonly reason: "rule" }
  | { readonly kind: "forward"; readonly url: string }
  | { readonly kind: "error"; readonly error: string }
  /** `handshake`: what is missing is what a TLS handshake with these comes to. */
  | { readonly kind: "unknown"; readonly needs: readonly string[]; readonly handshake?: TlsSettings };

/** Never throws. */
export function perform(action: PolicyAction, run: Run): ActionResult {
  try {
    switch (action.type) {
      case "deny":
      case "close-connection":
        return { kind: "deny", reason: "rule" };
      case "forward-internal":
        return forward(action, run);
      case "log":
        return log(action.metadata, run);
      case "restrict-ips":
        return restrictIps(action, run);
      case "set-vars":
        return setVars(action.vars, run);
      case "terminate-tls":
        return terminateTls(action, run);
    }
  } catch (thrown) {
    return { kind: "error", error: thrown instanceof Error ? thrown.message : "the action failed" };
  }
}

type Value = { readonly kind: "value"; readonly value: unknown } | Exclude<ActionResult, "next">;

/** What a template is now; its own faults and sizes beyond the limit are errors. */
function contentOf(template: Template, run: Run): Value {
  if (template.constant !== undefined) return { kind: "value", value: template.constant.value };
  const value = run.valueOf(template);
  if (value instanceof Missing) return { kind: "unknown", needs: value.needs };
  const error = value instanceof Error ? value : tooLarge(value);
  return error === undefined ? { kind: "value", value } : { kind: "error", error: error.message };
}

function forward(action: Extract<PolicyAction, { type: "forward-internal" }>, run: Run): ActionResult {
  const url = contentOf(action.url, run);
  if (url.kind !== "value") return url;
  if (typeof url.value !== "string") return { kind: "error", error: "the url is no string" };
  const error = action.continueOnError ? run.resolve(url.value) : undefined;
  if (error === undefined) return { kind: "forward", url: url.value };
  run.setResult("forward_internal", { url: url.value, error });
  return "next";
}

function log(metadata: Template, run: Run): ActionResult {
  const result = contentOf(metadata, run);
  if (result.kind !== "value") return result;
  run.log.push(plainValue(result.value) as Readonly<Record<string, unknown>>);
  run.setResult("log", { metadata: result.value });
  return "next";
}

/** In order: each value may read those before it. */
function setVars(
  vars: readonly { readonly name: string; readonly value: Template }[],
  run: Run,
): ActionResult {
  for (const { name, value } of vars) {
    const result = contentOf(value, run);
    if (result.kind !== "value") return result;
    run.setVar(name, result.value);
  }
  return "next";
}

/** Of one connection TLS is terminated once: where two actions would do it, they have to agree on how. */
function terminateTls(action: Extract<PolicyAction, { type: "terminate-tls" }>, run: Run): ActionResult {
  const settings = action.settings ?? settingsNow(action, run);
  if ("kind" in settings) return settings;
  const { tls } = run.facts.connection;
  if (tls === undefined) return { kind: "unknown", needs: [action.type], handshake: settings };
  if (tls.settings !== undefined && !sameSettings(tls.settings, settings)) {
    return { kind: "error", error: "TLS has been terminated as another action says" };
  }
  run.setResult("terminate_tls", tlsResult(tls));
  run.endsTls = true;
  return "next";
}

/** An error never repeats what it is about: that may be a key. */
function settingsNow(
  action: Extract<PolicyAction, { type: "terminate-tls" }>,
  run: Run,
): TlsSettings | Exclude<ActionResult, "next"> {
  const { pair, authorities } = action;
  if (pair === undefined) return { kind: "error", error: "there is no certificate to terminate TLS with" };
  const texts: string[] = [];
  for (const template of [pair.certificate, pair.key, ...authorities]) {
    const result = contentOf(template, run);
    if (result.kind !== "value") return result;
    if (typeof result.value !== "string") return { kind: "error", error: "a certificate or key is no text" };
    texts.push(result.value);
  }
  const [certificate = "", key = "", ...others] = texts;
  const settings = tlsSettings(action, certificate, key, others);
  return settings instanceof Error ? { kind: "error", error: settings.message } : settings;
}

const INVALID_RANGE = "ERR_NGROK_2204";

/** Allowed is what some `allow` holds and no `deny` does: with an empty `allow`, nothing. */
function restrictIps(action: Extract<PolicyAction, { type: "restrict-ips" }>, run: Run): ActionResult {
  const { ip } = run.facts.connection.client;
  if (ip === UNKNOWN) return { kind: "unknown", needs: ["conn.client_ip"] };
  const allow = rangesOf(action.allow, run);
  const deny = rangesOf(action.deny, run);
  if ("kind" in allow) return allow;
  if ("kind" in deny) return deny;
  const fault = allow.fault ?? deny.fault;
  const denied = deny.ranges.find((range) => cidrContains(range, ip));
  const allowed = allow.ranges.find((range) => cidrContains(range, ip));
  const permitted = fault === undefined && denied === undefined && allowed !== undefined;
  run.setResult("restrict_ips", {
    action: permitted ? "allow" : "deny",
    matched_cidr: (denied ?? allowed)?.text ?? "",
    error: fault === undefined ? { code: "", message: "" } : { code: INVALID_RANGE, message: fault },
  });
  if (permitted || !action.enforce) return "next";
  return fault === undefined ? { kind: "deny", reason: "rule" } : { kind: "error", error: fault };
}

/** `fault`: an expression made something that is no range. */
function rangesOf(
  templates: readonly CidrTemplate[],
  run: Run,
): { readonly ranges: readonly Cidr[]; readonly fault?: string } | Exclude<ActionResult, "next"> {
  const ranges: Cidr[] = [];
  let fault: string | undefined;
  for (const template of templates) {
    if (!("evaluate" in template)) {
      ranges.push(template);
      continue;
    }
    const result = contentOf(template, run);
    if (result.kind !== "value") return result;
    const range = typeof result.value === "string" ? parseCidr(result.value) : undefined;
    if (range !== undefined) ranges.push(range);
    else fault ??= typeof result.value === "string" ? notARange(result.value) : "a range is no string";
  }
  return fault === undefined ? { ranges } : { ranges, fault };
}
