/** Reads the actions of a rule: which types exist, what they are configured with, and which of them nobody reaches. */
import { childPath } from "./json-path.ts";
import type { PolicyAction } from "./policy.ts";
import type { Fields, Report } from "./report.ts";
import { parseForwardUrl } from "./url.ts";

const UNKNOWN_TYPE = "ERR_NGROK_2201";
const WRONG_PHASE = "ERR_NGROK_2202";
const UNREADABLE_CONFIG = "ERR_NGROK_2203";
const INVALID_CONFIG = "ERR_NGROK_2204";
const NO_ACTION = "ERR_NGROK_2206";
const UNREACHABLE = "ERR_NGROK_2207";
const UNSUPPORTED = "PODGATE_UNSUPPORTED";

/** ngrok's other actions at on_tcp_connect, and what to do without them. */
const UNSUPPORTED_TYPES: ReadonlyMap<string, string> = new Map([
  ["close-connection", "use deny"],
  ["log", "remove it, every verdict is logged"],
  ["restrict-ips", "write a rule over conn.k8s.pod.*"],
  ["set-vars", "write the value into the expressions"],
  ["terminate-tls", "let the upstream terminate TLS"],
]);

const HTTP_TYPES: ReadonlySet<string> = new Set(
  `add-headers ai-gateway basic-auth circuit-breaker compress-response custom-response http-request jwt-validation oauth
  oidc openid-connect owasp-crs-request owasp-crs-response rate-limit redirect remove-headers request-body-find-replace
  response-body-find-replace saml sse-find-replace url-rewrite verify-webhook`.split(/\s+/),
);

/** The actions that could be read. Everything wrong with the list is in `report`. */
export function parseActions(value: unknown, path: string, report: Report): readonly PolicyAction[] {
  if (value === undefined) {
    report.error(NO_ACTION, path, "the rule has no actions: add one, such as `- type: deny`");
    return [];
  }
  const items = report.list("ERR_NGROK_2236", path, value, "a list of actions, such as `- type: deny`");
  if (items?.length === 0) {
    report.error(NO_ACTION, path, "the rule has no actions: add one, such as `- type: deny`");
  }
  return (items ?? []).flatMap((item, index) => {
    const action = parseAction(item, childPath(path, index), report);
    if (items?.slice(0, index).some(terminates)) reportUnreachable(item, childPath(path, index), report);
    return action === undefined ? [] : [action];
  });
}

/** Whether no action after `value` can run. Judged by the text, so that it holds for an action with other faults too. */
export function terminates(value: unknown): boolean {
  const { type, config } = fieldsOf(value);
  if (type === "forward-internal") return fieldsOf(config).on_error !== "continue";
  return type === "deny" || type === "close-connection";
}

export function reportUnreachable(value: unknown, path: string, report: Report): void {
  const { type } = fieldsOf(value);
  const name = typeof type === "string" ? type : "?";
  const message = `action \`${name}\` is never reached, an action before it ends the policy: remove it or move it up`;
  report.error(UNREACHABLE, path, message);
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {};
}

function parseAction(value: unknown, path: string, report: Report): PolicyAction | undefined {
  const fields = report.object("ERR_NGROK_2236", path, value, "an action, such as `type: deny`");
  if (fields === undefined) return undefined;
  report.unknownKeys("ERR_NGROK_2236", path, fields, ["type", "config"]);
  const { type } = fields;
  const configPath = childPath(path, "config");
  if (type === "deny") return parseDeny(fields.config, configPath, report);
  if (type === "forward-internal") return parseForward(fields.config, configPath, report);
  const typePath = childPath(path, "type");
  const instead = typeof type === "string" ? UNSUPPORTED_TYPES.get(type) : undefined;
  if (typeof type !== "string" || type === "") {
    report.error(UNKNOWN_TYPE, typePath, "the action has no type: write deny or forward-internal");
  } else if (instead !== undefined) {
    report.error(UNSUPPORTED, typePath, `action \`${type}\` is not supported yet: ${instead}`);
  } else if (HTTP_TYPES.has(type)) {
    const message = `action \`${type}\` works on HTTP, not at on_tcp_connect: use deny or forward-internal`;
    report.error(WRONG_PHASE, typePath, message);
  } else {
    report.error(UNKNOWN_TYPE, typePath, `there is no action \`${type}\`: use deny or forward-internal`);
  }
  return undefined;
}

/** `status_code` is for HTTP; ngrok's schema tolerates it here, so it is read and has no effect. */
function parseDeny(config: unknown, path: string, report: Report): PolicyAction {
  if (config === undefined) return { type: "deny" };
  const fields = report.object(UNREADABLE_CONFIG, path, config, "an object, or leave `config` out");
  if (fields === undefined) return { type: "deny" };
  report.unknownKeys(UNREADABLE_CONFIG, path, fields, ["status_code"]);
  const status = fields.status_code;
  if (status !== undefined && !(Number.isInteger(status) && Number(status) >= 400 && Number(status) <= 599)) {
    report.error(
      INVALID_CONFIG,
      childPath(path, "status_code"),
      "it is no HTTP error: write 400 to 599 or remove it",
    );
  }
  return { type: "deny" };
}

function parseForward(config: unknown, path: string, report: Report): PolicyAction | undefined {
  const fields = report.object(UNREADABLE_CONFIG, path, config, "an object with `url`");
  if (fields === undefined) return undefined;
  report.unknownKeys(UNREADABLE_CONFIG, path, fields, ["url", "on_error"]);
  checkOnError(fields.on_error, childPath(path, "on_error"), report);
  const { url } = fields;
  const urlPath = childPath(path, "url");
  if (typeof url !== "string" || url === "") {
    report.error(INVALID_CONFIG, urlPath, "it is no url: write one such as http://ledger.payments.internal");
    return undefined;
  }
  if (url.includes("${")) {
    report.error(UNSUPPORTED, urlPath, "interpolation `${...}` is not supported yet: write the url in full");
    return undefined;
  }
  const parsed = parseForwardUrl(url);
  if (!(parsed instanceof Error)) return { type: "forward-internal", url };
  report.error(INVALID_CONFIG, urlPath, parsed.message);
  return undefined;
}

function checkOnError(value: unknown, path: string, report: Report): void {
  if (value === undefined || value === "halt") return;
  if (value === "continue") {
    report.error(UNSUPPORTED, path, "on_error `continue` is not supported yet: remove it or write halt");
  } else {
    report.error(INVALID_CONFIG, path, "it is neither halt nor continue: remove it or write halt");
  }
}
