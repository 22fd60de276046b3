/** Reads the actions of a rule: which types exist, and which of them nobody reaches. What each is configured with: `*-action.ts`. */
import { parseForward } from "./forward-action.ts";
import { childPath } from "./json-path.ts";
import { parseLog } from "./log-action.ts";
import type { PolicyAction } from "./policy.ts";
import type { Reading } from "./reading.ts";
import type { Fields, Report } from "./report.ts";
import { parseRestrictIps } from "./restrict-ips-action.ts";
import { parseSetVars } from "./set-vars-action.ts";
import { parseTerminateTls } from "./terminate-tls-action.ts";

const UNKNOWN_TYPE = "ERR_NGROK_2201";
const WRONG_PHASE = "ERR_NGROK_2202";
const UNREADABLE_CONFIG = "ERR_NGROK_2203";
const INVALID_CONFIG = "ERR_NGROK_2204";
const NO_ACTION = "ERR_NGROK_2206";
const UNREACHABLE = "ERR_NGROK_2207";

type ParseAction = (config: unknown, path: string, reading: Reading) => PolicyAction | undefined;

const ACTIONS: ReadonlyMap<string, ParseAction> = new Map<string, ParseAction>([
  ["deny", parseDeny],
  ["close-connection", parseCloseConnection],
  ["forward-internal", parseForward],
  ["log", parseLog],
  ["restrict-ips", parseRestrictIps],
  ["set-vars", parseSetVars],
  ["terminate-tls", parseTerminateTls],
]);

const HTTP_TYPES: ReadonlySet<string> = new Set(
  `add-headers ai-gateway basic-auth circuit-breaker compress-response custom-response http-request jwt-validation oauth
  oidc openid-connect owasp-crs-request owasp-crs-response rate-limit redirect remove-headers request-body-find-replace
  response-body-find-replace saml sse-find-replace url-rewrite verify-webhook`.split(/\s+/),
);

/** The actions that could be read, in order. Everything wrong with the list is in the reading's report. */
export function parseActions(value: unknown, path: string, reading: Reading): readonly PolicyAction[] {
  const { report } = reading;
  if (value === undefined) {
    report.error(NO_ACTION, path, "the rule has no actions: add one, such as `- type: deny`");
    return [];
  }
  const items = report.list("ERR_NGROK_2236", path, value, "a list of actions, such as `- type: deny`");
  if (items?.length === 0) {
    report.error(NO_ACTION, path, "the rule has no actions: add one, such as `- type: deny`");
  }
  return (items ?? []).flatMap((item, index) => {
    const action = parseAction(item, childPath(path, index), reading);
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

function parseAction(value: unknown, path: string, reading: Reading): PolicyAction | undefined {
  const { report } = reading;
  const fields = report.object("ERR_NGROK_2236", path, value, "an action, such as `type: deny`");
  if (fields === undefined) return undefined;
  report.unknownKeys("ERR_NGROK_2236", path, fields, ["type", "config"]);
  const { type } = fields;
  const parse = typeof type === "string" ? ACTIONS.get(type) : undefined;
  if (parse !== undefined) return parse(fields.config, childPath(path, "config"), reading);
  const typePath = childPath(path, "type");
  const usable = [...ACTIONS.keys()].join(", ");
  if (typeof type !== "string" || type === "") {
    report.error(UNKNOWN_TYPE, typePath, `the action has no type: write one of ${usable}`);
  } else if (HTTP_TYPES.has(type)) {
    report.error(
      WRONG_PHASE,
      typePath,
      `action \`${type}\` works on HTTP, not at on_tcp_connect: use one of ${usable}`,
    );
  } else {
    report.error(UNKNOWN_TYPE, typePath, `there is no action \`${type}\`: use one of ${usable}`);
  }
  return undefined;
}

/** `status_code` is for HTTP; ngrok's schema tolerates it here, so it is read and has no effect. */
function parseDeny(config: unknown, path: string, { report }: Reading): PolicyAction {
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

function parseCloseConnection(config: unknown, path: string, { report }: Reading): PolicyAction {
  if (config !== undefined) {
    const fields = report.object(UNREADABLE_CONFIG, path, config, "nothing, and leave `config` out");
    if (fields !== undefined) report.unknownKeys(UNREADABLE_CONFIG, path, fields, []);
  }
  return { type: "close-connection" };
}
