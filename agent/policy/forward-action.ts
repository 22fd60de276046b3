/** Reads the configuration of `forward-internal`. Whether its target exists is guard/'s question. */
import { childPath } from "./json-path.ts";
import type { PolicyAction } from "./policy.ts";
import type { Reading } from "./reading.ts";
import { parseText } from "./template.ts";
import { parseForwardUrl } from "./url.ts";

const UNREADABLE_CONFIG = "ERR_NGROK_2203";
const INVALID_CONFIG = "ERR_NGROK_2204";

export function parseForward(config: unknown, path: string, reading: Reading): PolicyAction | undefined {
  const { report } = reading;
  const fields = report.object(UNREADABLE_CONFIG, path, config, "an object with `url`");
  if (fields === undefined) return undefined;
  report.unknownKeys(UNREADABLE_CONFIG, path, fields, ["url", "on_error"]);
  const continueOnError = parseOnError(fields.on_error, childPath(path, "on_error"), reading);
  const { url } = fields;
  const urlPath = childPath(path, "url");
  if (typeof url !== "string" || url === "") {
    report.error(INVALID_CONFIG, urlPath, "it is no url: write one such as http://ledger.payments.internal");
    return undefined;
  }
  const template = parseText(url, urlPath, reading);
  if (continueOnError) reading.surroundings.setResult("forward_internal");
  if (template === undefined) return undefined;
  if (template.type !== "string" && template.type !== "dyn") {
    report.error(INVALID_CONFIG, urlPath, `its expression is of type ${template.type}: a url is a string`);
    return undefined;
  }
  const known = template.constant === undefined ? undefined : parseForwardUrl(url);
  if (known instanceof Error) {
    report.error(INVALID_CONFIG, urlPath, known.message);
    return undefined;
  }
  return { type: "forward-internal", url: template, continueOnError };
}

function parseOnError(value: unknown, path: string, { report }: Reading): boolean {
  if (value === "continue") return true;
  if (value !== undefined && value !== "halt") {
    report.error(INVALID_CONFIG, path, "it is neither halt nor continue: remove it or write halt");
  }
  return false;
}
