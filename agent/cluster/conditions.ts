/** Conditions of an object's status: reading them, and putting ours among those of other controllers. */
import { cut } from "./api-error.ts";
import { type Fields, field, isRecord, text } from "./fields.ts";

/** The type that is ours to write. Whatever else an object's conditions hold belongs to somebody else. */
export type ConditionType = "Accepted";

export interface Condition {
  readonly type: ConditionType;
  readonly status: "True" | "False" | "Unknown";
  /** CamelCase, as the API demands. */
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
}

/** The API takes 32768; people read these in a terminal. */
const MAX_MESSAGE = 1024;

/** Our conditions as `object` has them. Those that are not ours, or odd, are left out. */
export function readConditions(object: Fields): readonly Condition[] {
  return conditionList(object).flatMap((entry) => {
    const type = ourType(entry);
    if (type === undefined) return [];
    const status = field(entry, "status");
    const generation = field(entry, "observedGeneration");
    return [
      {
        type,
        status: status === "True" || status === "False" ? status : "Unknown",
        reason: text(field(entry, "reason")) ?? "",
        message: text(field(entry, "message")) ?? "",
        observedGeneration: typeof generation === "number" ? generation : 0,
      },
    ];
  });
}

/** What `wanted` is once written. */
export function writable(wanted: readonly Condition[]): readonly Condition[] {
  return wanted.map((condition) => ({ ...condition, message: cut(condition.message, MAX_MESSAGE) }));
}

/**
 * Whether `have` needs nothing written. True too where it was written for a newer generation: that agent has
 * seen more than we have, and our turn comes when we have too.
 */
export function isSettled(have: readonly Condition[], wanted: readonly Condition[]): boolean {
  return wanted.every((want) => {
    const found = have.find((condition) => condition.type === want.type);
    if (found === undefined) return false;
    if (found.observedGeneration > want.observedGeneration) return true;
    return (
      found.status === want.status &&
      found.reason === want.reason &&
      found.message === want.message &&
      found.observedGeneration === want.observedGeneration
    );
  });
}

/** `object` with `wanted` in its status; `now` in ms since 1970. Everything else stays as it is. */
export function withConditions(object: Fields, wanted: readonly Condition[], now: number): Fields {
  const status = field(object, "status");
  const have = conditionList(object);
  const others = have.filter((entry) => !wanted.some((want) => want.type === ourType(entry)));
  const ours = wanted.map((want) => {
    const before = have.find((entry) => ourType(entry) === want.type);
    const since = text(field(before, "lastTransitionTime"));
    const same = field(before, "status") === want.status && since !== undefined;
    // The API's times have whole seconds.
    const time = same ? since : `${new Date(now).toISOString().slice(0, 19)}Z`;
    return { ...want, lastTransitionTime: time };
  });
  return { ...object, status: { ...(isRecord(status) ? status : {}), conditions: [...others, ...ours] } };
}

function conditionList(object: Fields): readonly unknown[] {
  const conditions = field(field(object, "status"), "conditions");
  return Array.isArray(conditions) ? conditions : [];
}

function ourType(entry: unknown): ConditionType | undefined {
  const type = field(entry, "type");
  return type === "Accepted" ? type : undefined;
}
