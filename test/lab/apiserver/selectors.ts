/** labelSelector and fieldSelector: text -> predicate. */
import { at, stringOr } from "./json.ts";
import type { KubeObject } from "./object.ts";
import type { Resource } from "./resource.ts";
import { badRequest } from "./status.ts";

export type Predicate = (object: KubeObject) => boolean;

/** Both selectors of a query. Throws 400 for text that is no selector or a field that cannot be selected by. */
export function parseSelectors(query: URLSearchParams, resource: Resource): Predicate {
  const requirements = [
    ...splitOutsideParentheses(query.get("labelSelector") ?? "").map(labelRequirement),
    ...splitOutsideParentheses(query.get("fieldSelector") ?? "").map((text) =>
      fieldRequirement(text, resource),
    ),
  ];
  return (object) => requirements.every((matches) => matches(object));
}

function splitOutsideParentheses(text: string): string[] {
  return text
    .split(/,(?![^()]*\))/)
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/** `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`. A missing label satisfies != and notin. */
function labelRequirement(text: string): Predicate {
  const word = "[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?";
  const label = (object: KubeObject, name: string) => {
    const labels = object.metadata.labels ?? {};
    return Object.hasOwn(labels, name) ? labels[name] : undefined;
  };
  const set = new RegExp(`^(?<name>${word})\\s+(?<operator>in|notin)\\s*\\((?<values>[^()]*)\\)$`).exec(
    text,
  )?.groups;
  if (set) {
    const values = (set.values ?? "").split(",").map((value) => value.trim());
    const wanted = set.operator === "in";
    return (object) => values.includes(label(object, set.name ?? "") ?? "\0absent") === wanted;
  }
  const pair = new RegExp(`^(?<name>${word})\\s*(?<operator>==?|!=)\\s*(?<value>(${word})?)$`).exec(
    text,
  )?.groups;
  if (pair) {
    const wanted = pair.operator !== "!=";
    return (object) => (label(object, pair.name ?? "") === pair.value) === wanted;
  }
  const presence = new RegExp(`^(?<not>!?)\\s*(?<name>${word})$`).exec(text)?.groups;
  if (presence)
    return (object) => (label(object, presence.name ?? "") !== undefined) === (presence.not === "");
  throw badRequest(`unable to parse requirement: "${text}" is not a label selector`);
}

function fieldRequirement(text: string, resource: Resource): Predicate {
  const parts = /^(?<field>[^=!]+?)(?<operator>==?|!=)(?<value>.*)$/.exec(text)?.groups;
  if (!parts) throw badRequest(`invalid selector: '${text}'; can't understand '${text}'`);
  const field = (parts.field ?? "").trim();
  const selectable = [
    "metadata.name",
    ...(resource.namespaced ? ["metadata.namespace"] : []),
    ...resource.selectableFields,
  ];
  if (!selectable.includes(field)) throw badRequest(`field label not supported: ${field}`);
  const wanted = parts.operator !== "!=";
  const value = (parts.value ?? "").trim();
  return (object) => (fieldText(object, field) === value) === wanted;
}

/** As the real server compares: an absent field is "", or "false" where the field is a boolean. */
function fieldText(object: KubeObject, field: string): string {
  if (field === "source")
    return stringOr(at(object, "source.component")) || stringOr(at(object, "reportingComponent"));
  const value = at(object, field);
  const boolean = field === "spec.hostNetwork" || field === "spec.unschedulable";
  return value === undefined ? (boolean ? "false" : "") : String(value);
}
