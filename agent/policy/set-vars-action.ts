/** Reads the configuration of `set-vars`: variables in order, each of which the next ones may read. */
import { childPath } from "./json-path.ts";
import type { PolicyAction, Template } from "./policy.ts";
import type { Reading } from "./reading.ts";
import { parseValue } from "./template.ts";

const UNREADABLE_CONFIG = "ERR_NGROK_2203";
const INVALID_CONFIG = "ERR_NGROK_2204";
const MAX_VARS = 100;

type Var = { readonly name: string; readonly value: Template };

export function parseSetVars(config: unknown, path: string, reading: Reading): PolicyAction | undefined {
  const { report } = reading;
  const fields = report.object(UNREADABLE_CONFIG, path, config, "an object with `vars`");
  if (fields === undefined) return undefined;
  report.unknownKeys(UNREADABLE_CONFIG, path, fields, ["vars"]);
  const varsPath = childPath(path, "vars");
  const items = report.list(UNREADABLE_CONFIG, varsPath, fields.vars, "a list, such as `- team: blue`") ?? [];
  if (items.length > MAX_VARS) {
    report.error(INVALID_CONFIG, varsPath, `it sets ${items.length} variables: set at most ${MAX_VARS}`);
    return undefined;
  }
  const vars = items.flatMap((item, index) => parseVar(item, childPath(varsPath, index), reading) ?? []);
  return { type: "set-vars", vars };
}

function parseVar(item: unknown, path: string, reading: Reading): Var | undefined {
  const { report } = reading;
  const fields = report.object(UNREADABLE_CONFIG, path, item, "one name and its value, such as `team: blue`");
  if (fields === undefined) return undefined;
  const [entry, ...others] = Object.entries(fields);
  if (entry === undefined || others.length > 0) {
    report.error(
      INVALID_CONFIG,
      path,
      `it has ${others.length + (entry ? 1 : 0)} names: write each variable as an item of its own`,
    );
    return undefined;
  }
  const [name, raw] = entry;
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,62}$/.test(name)) {
    const message = "an expression cannot read a variable of this name: use letters, digits and `_`";
    report.error(INVALID_CONFIG, childPath(path, name), message);
    return undefined;
  }
  const value = parseValue(raw, childPath(path, name), reading);
  // Set even where its value has a fault, so that what reads it is not reported as well.
  reading.surroundings.setVar(name, value?.type ?? "dyn");
  return value && { name, value };
}
