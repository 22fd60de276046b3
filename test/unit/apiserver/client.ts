/** Plain HTTP for the tests: no client library between them and the server. */
import { request as httpRequest } from "node:http";
import { createInterface } from "node:readline";
import type { JsonObject } from "../../lab/apiserver/json.ts";
import type { KubeObject } from "../../lab/apiserver/object.ts";

export interface Answer {
  readonly code: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: a test states what it expects of the document
  readonly body: any;
}

export async function call(
  url: string,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const response = await fetch(url + path, {
    method,
    headers: { "content-type": "application/json", ...headers },
    ...(body === undefined ? {} : { body: text }),
  });
  const answer = await response.text();
  const json = (response.headers.get("content-type") ?? "").includes("json");
  return { code: response.status, headers: response.headers, body: json ? JSON.parse(answer) : answer };
}

export interface Event {
  readonly type: string;
  readonly object: KubeObject & JsonObject;
}

/** An open watch. */
export interface Watch {
  readonly code: number;
  /** The next line that arrives; rejects when the stream is reset, "end" when it ended. */
  nextLine(): Promise<string>;
  next(): Promise<Event>;
  /** Resolves to true if nothing arrives for so long. */
  quiet(milliseconds: number): Promise<boolean>;
  close(): void;
}

export function watch(url: string, path: string, headers: Record<string, string> = {}): Promise<Watch> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(url + path, { headers, agent: false }, (response) => {
      const lines: (string | Error)[] = [];
      let wake = () => {};
      const put = (line: string | Error) => {
        lines.push(line);
        wake();
      };
      response.on("error", put);
      const reader = createInterface({ input: response, crlfDelay: Number.POSITIVE_INFINITY });
      reader.on("line", put);
      reader.on("error", () => {});
      response.on("end", () => setImmediate(() => put("end")));
      const arrived = async () => {
        while (lines.length === 0) await new Promise<void>((resolve) => (wake = resolve));
      };
      const nextLine = async () => {
        await arrived();
        const line = lines.shift();
        if (line instanceof Error) throw line;
        return line ?? "";
      };
      resolve({
        code: response.statusCode ?? 0,
        nextLine,
        next: async () => JSON.parse(await nextLine()),
        quiet: async (milliseconds) => {
          await new Promise((resolve) => setTimeout(resolve, milliseconds));
          return lines.length === 0;
        },
        close: () => request.destroy(),
      });
    });
    request.on("error", reject);
    request.end();
  });
}

/** A pod that is valid, and nothing more. */
export function pod(name: string, spec: JsonObject = {}, metadata: JsonObject = {}): JsonObject {
  const containers = [{ name: "main", image: "registry.example/main:1" }];
  return { apiVersion: "v1", kind: "Pod", metadata: { name, ...metadata }, spec: { containers, ...spec } };
}
