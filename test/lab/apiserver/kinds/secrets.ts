/** Secrets: what is written as text is kept as base64. */
import { type JsonObject, objectOr } from "../json.ts";
import type { KubeObject } from "../object.ts";
import type { KindRules } from "./rules.ts";

export const secretRules: KindRules = {
  create: encode,
  update: encode,
};

function encode(object: KubeObject): void {
  const { stringData, ...rest } = object as KubeObject & JsonObject;
  const texts = Object.entries(objectOr(stringData)).map(([key, text]) => [
    key,
    Buffer.from(String(text)).toString("base64"),
  ]);
  if (stringData !== undefined) {
    delete object.stringData;
    object.data = { ...objectOr(rest.data), ...Object.fromEntries(texts) };
  }
  object.type ??= "Opaque";
}
