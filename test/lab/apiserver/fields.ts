/** fieldValidation: what becomes of fields that the schema of a kind does not know. */
import type { ServerResponse } from "node:http";
import type { ObjectInput } from "./object.ts";
import type { Target } from "./paths.ts";
import { prune } from "./prune.ts";
import { badRequest } from "./status.ts";

/** Strict: throws 400. Warn, the default: says so in Warning headers. Ignore: says nothing. They are pruned later. */
export function checkUnknownFields(target: Target, object: ObjectInput, response: ServerResponse): void {
  const { schema } = target.version;
  const mode = target.query.get("fieldValidation") || "Warn";
  if (schema === undefined || mode === "Ignore") return;
  const messages = prune(schema, object).unknown.map((path) => `unknown field ${JSON.stringify(path)}`);
  if (messages.length === 0) return;
  if (mode === "Strict") {
    const kind = `${object.kind ?? target.resource.kind} in version ${JSON.stringify(target.version.name)}`;
    throw badRequest(
      `${kind} cannot be handled as a ${target.resource.kind}: strict decoding error: ${messages.join(", ")}`,
    );
  }
  response.setHeader(
    "warning",
    messages.map((message) => `299 - ${JSON.stringify(message)}`),
  );
}
