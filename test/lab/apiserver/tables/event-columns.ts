/** `kubectl get events` and `kubectl events`. */
import { at, objectOr, stringOr } from "../json.ts";
import type { KubeObject } from "../object.ts";
import { age, type Column, column, nameColumn, wide } from "./column.ts";

export const eventColumns: readonly Column[] = [
  column("Last Seen", (event, now) =>
    age(firstTime(event, "lastTimestamp", "eventTime", "firstTimestamp"), now),
  ),
  column("Type", (event) => event.type),
  column("Reason", (event) => event.reason),
  column("Object", (event) => {
    const { kind, name } = objectOr(event.involvedObject);
    return name ? `${stringOr(kind).toLowerCase()}/${name}` : stringOr(kind).toLowerCase();
  }),
  wide("Subobject", (event) => stringOr(at(event, "involvedObject.fieldPath"))),
  wide("Source", source),
  column("Message", (event) => stringOr(event.message).trim()),
  wide("First Seen", (event, now) => age(firstTime(event, "firstTimestamp", "eventTime"), now)),
  wide("Count", (event) => event.count ?? 1),
  { ...nameColumn, priority: 1 },
];

function firstTime(event: KubeObject, ...fields: readonly string[]): unknown {
  return fields.map((field) => event[field]).find((time) => typeof time === "string");
}

function source(event: KubeObject): string {
  const component = stringOr(at(event, "source.component")) || stringOr(event.reportingComponent);
  const host = stringOr(at(event, "source.host")) || stringOr(event.reportingInstance);
  return host === "" ? component : `${component}, ${host}`;
}
