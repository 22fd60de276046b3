/** Reads a Traffic Policy document: the only way to a `Policy`. Everything that is wrong is said at once. */
import { childPath } from "./json-path.ts";
import { scopeOfReads } from "./placement.ts";
import type { ParseResult } from "./policy.ts";
import { Report } from "./report.ts";
import { parseRules } from "./rules.ts";

/**
 * Code of the error that HTTP rules give. They are not executed, so where an endpoint guards something they make its
 * policy invalid (ignoring an HTTP deny would open it); where it guards nothing they are nobody's business here.
 */
export const HTTP_RULES = "PODGATE_HTTP_RULES";

const SCHEMA = "ERR_NGROK_2236";
const HTTP_PHASES = ["on_http_request", "on_http_response", "on_event_stream_message"] as const;
const LEGACY: ReadonlyMap<string, string> = new Map([
  ["inbound", "write on_tcp_connect"],
  ["outbound", "write on_tcp_connect"],
  ["enabled", "remove it; to switch a policy off, delete it"],
]);

/**
 * `path` is where `value` stands in its object; messages begin with it. An object without rules is a policy that
 * always falls through; null, a list or text is an error, never "no rules".
 */
export function parsePolicy(value: unknown, path: string): ParseResult {
  const report = new Report();
  const fields = report.object(SCHEMA, path, value, "an object with `on_tcp_connect`");
  if (fields === undefined) return { ok: false, diagnostics: report.errors, readsPod: mentionsPod(value) };
  const known = ["on_tcp_connect", "on_http_request", "on_http_response"];
  const current = Object.fromEntries(
    Object.entries(fields).filter(([key]) => !LEGACY.has(key) && key !== "on_event_stream_message"),
  );
  report.unknownKeys(SCHEMA, path, current, known);
  for (const [key, instead] of LEGACY) {
    if (!Object.hasOwn(fields, key)) continue;
    report.error("PODGATE_LEGACY", childPath(path, key), `\`${key}\` is of an older format: ${instead}`);
  }
  for (const phase of HTTP_PHASES) {
    if (Object.hasOwn(fields, phase)) checkHttpPhase(fields[phase], childPath(path, phase), report);
  }
  const { rules, reads, cost } = Object.hasOwn(fields, "on_tcp_connect")
    ? parseRules(fields.on_tcp_connect, childPath(path, "on_tcp_connect"), report)
    : { rules: [], reads: new Set<string>(), cost: 0 };
  const diagnostics = report.errors;
  if (diagnostics.length > 0) return { ok: false, diagnostics, readsPod: mentionsPod(value) };
  const readsPod = [...reads].some((name) => name === "conn" || /^conn\.k8s\b/.test(name));
  const policy = { rules, scope: scopeOfReads(reads), reads, readsPod, cost };
  return { ok: true, policy, warnings: report.warnings };
}

function checkHttpPhase(value: unknown, path: string, report: Report): void {
  const rules = report.list(SCHEMA, path, value, "a list of rules, or leave it out");
  if (rules === undefined || rules.length === 0) return;
  report.error(
    HTTP_RULES,
    path,
    "HTTP rules are not executed yet: move them to another endpoint or remove them",
  );
}

/**
 * Whether a policy that could not be read was about pods: any text in it names conn.k8s, or is what YAML left of an
 * expression. Rather yes than no: a policy about pods must not count as none.
 */
function mentionsPod(value: unknown): boolean {
  const seen = new Set<unknown>();
  const queue: unknown[] = [value];
  for (const item of queue) {
    if (typeof item === "string" && (/\bconn\b[\s.["']*k8s\b/.test(item) || /^\s*in\b/.test(item)))
      return true;
    if (typeof item !== "object" || item === null || seen.has(item)) continue;
    seen.add(item);
    for (const member of Object.values(item)) queue.push(member);
  }
  return false;
}
