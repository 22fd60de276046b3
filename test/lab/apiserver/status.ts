/** Failures as the API reports them: metav1.Status with the code, reason and words a real server uses. */
import type { JsonObject } from "./json.ts";

export interface Cause {
  readonly reason:
    | "FieldValueRequired"
    | "FieldValueInvalid"
    | "FieldValueForbidden"
    | "FieldValueNotSupported"
    | "FieldValueDuplicate"
    | "FieldValueTypeInvalid";
  readonly message: string;
  readonly field: string;
}

/** What an error is about: `resources "name"`. */
export interface Subject {
  readonly group: string;
  /** The plural, or for an invalid object the kind. */
  readonly kind: string;
  readonly name?: string;
}

export class ApiError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly details: JsonObject;

  constructor(code: number, reason: string, message: string, details: JsonObject = {}) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.details = details;
  }

  /** Seconds, for a Retry-After header; undefined: none. */
  get retryAfter(): number | undefined {
    const seconds = this.details.retryAfterSeconds;
    return typeof seconds === "number" ? seconds : undefined;
  }

  toStatus(): JsonObject {
    const details = Object.keys(this.details).length === 0 ? {} : { details: this.details };
    return {
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: this.message,
      reason: this.reason,
      ...details,
      code: this.code,
    };
  }
}

function qualified(subject: Subject): string {
  return subject.group === "" ? subject.kind : `${subject.kind}.${subject.group}`;
}

function detailsOf(subject: Subject): JsonObject {
  return {
    ...(subject.name === undefined ? {} : { name: subject.name }),
    ...(subject.group === "" ? {} : { group: subject.group }),
    kind: subject.kind,
  };
}

function about(subject: Subject, code: number, reason: string, text: string): ApiError {
  return new ApiError(
    code,
    reason,
    `${qualified(subject)} "${subject.name ?? ""}" ${text}`,
    detailsOf(subject),
  );
}

export const notFound = (subject: Subject) => about(subject, 404, "NotFound", "not found");
export const alreadyExists = (subject: Subject) => about(subject, 409, "AlreadyExists", "already exists");

/** The path names nothing this server has: what an uninstalled CRD answers. */
export function unknownPath(): ApiError {
  return new ApiError(404, "NotFound", "the server could not find the requested resource");
}

/** Of a pod's subresources that carry a terminal or a connection. */
export function noStreams(): ApiError {
  const message = "the lab has no exec; use: npm run lab -- exec NS/POD -- COMMAND";
  return new ApiError(501, "NotImplemented", message);
}

const modified =
  "the object has been modified; please apply your changes to the latest version and try again";

export function conflict(subject: Subject, why = modified): ApiError {
  const message = `Operation cannot be fulfilled on ${qualified(subject)} "${subject.name ?? ""}": ${why}`;
  return new ApiError(409, "Conflict", message, detailsOf(subject));
}

export function forbidden(subject: Subject, why: string): ApiError {
  const message = `${qualified(subject)} "${subject.name ?? ""}" is forbidden: ${why}`;
  return new ApiError(403, "Forbidden", message, detailsOf(subject));
}

/** 422 with every cause at once. `subject.kind` is the kind here, as the real server has it. */
export function invalid(subject: Subject, causes: readonly Cause[]): ApiError {
  const texts = causes.map((cause) => `${cause.field}: ${cause.message}`);
  const list = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
  const message = `${qualified(subject)} "${subject.name ?? ""}" is invalid: ${list}`;
  return new ApiError(422, "Invalid", message, { ...detailsOf(subject), causes });
}

export function required(field: string, why = ""): Cause {
  return {
    reason: "FieldValueRequired",
    field,
    message: why === "" ? "Required value" : `Required value: ${why}`,
  };
}

export function invalidValue(field: string, value: unknown, why: string): Cause {
  return { reason: "FieldValueInvalid", field, message: `Invalid value: ${JSON.stringify(value)}: ${why}` };
}

export function unsupportedValue(field: string, value: unknown, supported: readonly unknown[]): Cause {
  const list = supported.map((entry) => JSON.stringify(entry)).join(", ");
  const message = `Unsupported value: ${JSON.stringify(value)}: supported values: ${list}`;
  return { reason: "FieldValueNotSupported", field, message };
}

export const badRequest = (message: string) => new ApiError(400, "BadRequest", message);

/** 410: the version or the continue token asked for is gone; list again. */
export const expired = (message: string) => new ApiError(410, "Expired", message);

export function methodNotAllowed(): ApiError {
  const message = "the server does not allow this method on the requested resource";
  return new ApiError(405, "MethodNotAllowed", message);
}

export function unsupportedMediaType(supported: readonly string[]): ApiError {
  const message = `the body of the request was in an unknown format - accepted media types include: ${supported.join(", ")}`;
  return new ApiError(415, "UnsupportedMediaType", message);
}

export function bodyTooLarge(limit: number): ApiError {
  return new ApiError(413, "RequestEntityTooLarge", `Request entity too large: limit is ${limit}`);
}

/** A resourceVersion from the future: the client should wait for this server to catch up. */
export function versionTooLarge(asked: number, current: number): ApiError {
  const cause = { reason: "ResourceVersionTooLarge", message: "Too large resource version" };
  const message = `Timeout: Too large resource version: ${asked}, current: ${current}`;
  return new ApiError(504, "Timeout", message, { causes: [cause], retryAfterSeconds: 1 });
}
