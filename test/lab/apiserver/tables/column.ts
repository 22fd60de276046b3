/** A column of a Table reply. */
import type { KubeObject } from "../object.ts";

export interface Column {
  readonly name: string;
  readonly type: "string" | "integer" | "number" | "boolean" | "date";
  readonly format: string;
  readonly description: string;
  /** 0: always shown; above: only with `-o wide`. */
  readonly priority: number;
  /** `now`: milliseconds since 1970. */
  cell(object: KubeObject, now: number): unknown;
}

type Cell = (object: KubeObject, now: number) => unknown;

export function column(
  name: string,
  cell: Cell,
  options: Partial<Omit<Column, "name" | "cell">> = {},
): Column {
  return {
    name,
    type: "string",
    format: "",
    description: `${name} of the object`,
    priority: 0,
    ...options,
    cell,
  };
}

/** Shown with `-o wide` alone. */
export function wide(name: string, cell: Cell): Column {
  return column(name, cell, { priority: 1 });
}

export const nameColumn = column("Name", ({ metadata }) => metadata.name, { format: "name" });
export const ageColumn = column("Age", ({ metadata }, now) => age(metadata.creationTimestamp, now));

/** How long ago `time` was, as kubectl writes durations: two units while they matter. */
export function age(time: unknown, now: number): string {
  const then = typeof time === "string" ? Date.parse(time) : Number.NaN;
  if (Number.isNaN(then)) return "<unknown>";
  const seconds = Math.floor((now - then) / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 120) return `${Math.max(0, seconds)}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return two(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return two(hours, "h", minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (days < 8) return two(days, "d", hours % 24, "h");
  if (days < 730) return `${days}d`;
  const years = Math.floor(days / 365);
  return years < 8 ? two(years, "y", days % 365, "d") : `${years}y`;
}

function two(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`;
}
