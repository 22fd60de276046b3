/** Reads the configuration of `restrict-ips`: which addresses a connection may come from. */
import { parseAddress } from "../model/address.ts";
import { parseCidr } from "../model/cidr.ts";
import { childPath } from "./json-path.ts";
import type { CidrTemplate, PolicyAction } from "./policy.ts";
import type { Reading } from "./reading.ts";
import { kindOf } from "./report.ts";
import { parseText } from "./template.ts";

const UNREADABLE_CONFIG = "ERR_NGROK_2203";
const INVALID_CONFIG = "ERR_NGROK_2204";
const NOTHING_ALLOWED = "ERR_NGROK_393";
const UNSUPPORTED = "PODGATE_UNSUPPORTED";
const MAX_RANGES = 1_000;

export function parseRestrictIps(config: unknown, path: string, reading: Reading): PolicyAction | undefined {
  const { report } = reading;
  const fields = report.object(UNREADABLE_CONFIG, path, config, "an object with `allow` and `deny`");
  if (fields === undefined) return undefined;
  report.unknownKeys(UNREADABLE_CONFIG, path, fields, ["enforce", "allow", "deny", "ip_policies"]);
  const enforce = fields.enforce ?? true;
  if (typeof enforce !== "boolean") {
    report.error(
      INVALID_CONFIG,
      childPath(path, "enforce"),
      `it is ${kindOf(enforce)}: write true or false, or remove it`,
    );
  }
  if (fields.ip_policies !== undefined) {
    const message =
      "ip policies are kept in ngrok's cloud, which nothing here asks: write their ranges into allow and deny";
    report.error(UNSUPPORTED, childPath(path, "ip_policies"), message);
  }
  const allow = parseRanges(fields.allow, childPath(path, "allow"), reading);
  const deny = parseRanges(fields.deny, childPath(path, "deny"), reading);
  if (Array.isArray(fields.allow ?? []) && allow.length === 0 && fields.ip_policies === undefined) {
    const message =
      "nothing is allowed, so every connection is denied: allow 0.0.0.0/0 and ::/0 to deny only some";
    report.warn(NOTHING_ALLOWED, path, message);
  }
  reading.spend(allow.length + deny.length, new Set(["conn.client_ip"]));
  reading.surroundings.setResult("restrict_ips");
  return { type: "restrict-ips", allow, deny, enforce: enforce !== false };
}

function parseRanges(value: unknown, path: string, reading: Reading): readonly CidrTemplate[] {
  if (value === undefined) return [];
  const { report } = reading;
  const items =
    report.list(UNREADABLE_CONFIG, path, value, "a list of ranges, such as `- 192.0.2.0/24`") ?? [];
  if (items.length > MAX_RANGES) {
    report.error(INVALID_CONFIG, path, `it has ${items.length} ranges: write at most ${MAX_RANGES}`);
    return [];
  }
  return items.flatMap((item, index) => parseRange(item, childPath(path, index), reading) ?? []);
}

function parseRange(item: unknown, path: string, reading: Reading): CidrTemplate | undefined {
  const { report } = reading;
  if (typeof item !== "string") {
    report.error(INVALID_CONFIG, path, `it is ${kindOf(item)}: write a range such as 192.0.2.0/24`);
    return undefined;
  }
  const template = parseText(item, path, reading);
  if (template === undefined) return undefined;
  if (template.constant !== undefined) {
    const range = parseCidr(item);
    if (range === undefined) report.error(INVALID_CONFIG, path, notARange(item));
    return range;
  }
  if (template.type === "string" || template.type === "dyn") return template;
  report.error(INVALID_CONFIG, path, `its expression is of type ${template.type}: a range is a string`);
  return undefined;
}

/** Also what is said of a range that an expression made. */
export function notARange(text: string): string {
  const address = parseAddress(text);
  const shown = text.length > 60 ? `${text.slice(0, 60)}...` : text;
  if (address === undefined)
    return `\`${shown}\` is no address range: write one such as 192.0.2.0/24 or 2001:db8::/32`;
  return `\`${shown}\` is an address and no range: write ${shown}/${text.includes(":") ? 128 : 32}`;
}
