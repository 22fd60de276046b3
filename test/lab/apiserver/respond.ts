/** Replies: JSON documents, and failures as Status objects. */
import type { ServerResponse } from "node:http";
import { ApiError } from "./status.ts";

export function sendJson(response: ServerResponse, code: number, value: unknown): void {
  sendText(response, code, "application/json", `${JSON.stringify(value)}\n`);
}

export function sendText(response: ServerResponse, code: number, type: string, text: string): void {
  const body = Buffer.from(text);
  response.writeHead(code, { "content-type": type, "content-length": body.length });
  response.end(body);
}

/** Answers with the failure; a fault of the server itself is a 500 that says so. */
export function sendError(response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const known = error instanceof ApiError ? error : internalError(error);
  if (known.retryAfter !== undefined) response.setHeader("retry-after", String(known.retryAfter));
  // What is left of a body that was refused unread would be taken for the next request.
  if (known.code === 413) response.setHeader("connection", "close");
  sendJson(response, known.code, known.toStatus());
}

function internalError(error: unknown): ApiError {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return new ApiError(500, "InternalError", `Internal error occurred: ${text}`);
}
