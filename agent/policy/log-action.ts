/** Reads the configuration of `log`: what is to be in the verdict's line. */
import { childPath } from "./json-path.ts";
import type { PolicyAction } from "./policy.ts";
import type { Reading } from "./reading.ts";
import { constant, parseValue } from "./template.ts";

const UNREADABLE_CONFIG = "ERR_NGROK_2203";

export function parseLog(config: unknown, path: string, reading: Reading): PolicyAction | undefined {
  const { report } = reading;
  const fields = report.object(UNREADABLE_CONFIG, path, config, "an object with `metadata`");
  if (fields === undefined) return undefined;
  report.unknownKeys(UNREADABLE_CONFIG, path, fields, ["metadata"]);
  const metadataPath = childPath(path, "metadata");
  const metadata =
    fields.metadata === undefined
      ? {}
      : report.object(
          UNREADABLE_CONFIG,
          metadataPath,
          fields.metadata,
          "an object, such as `message: refused`",
        );
  if (metadata === undefined) return undefined;
  const template =
    Object.keys(metadata).length === 0 ? constant(new Map()) : parseValue(metadata, metadataPath, reading);
  reading.surroundings.setResult("log");
  return template && { type: "log", metadata: template };
}
