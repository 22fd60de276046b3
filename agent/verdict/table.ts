/** Verdict lines as a table that grows while it is read: columns widen where they must and never narrow again. */
import type { LineDecision, LinePlace, VerdictLine } from "./line.ts";

export interface TableOptions {
  readonly colour: boolean;
  /** ms since 1970: the date is written where it is not today's. */
  readonly now: () => number;
}

interface Column {
  readonly title: string;
  /** Characters to begin with: what most lines need. */
  readonly width: number;
  readonly cell: (line: VerdictLine, now: number) => string;
  readonly colour?: (line: VerdictLine) => Colour | undefined;
}

type Colour = "red" | "green" | "yellow" | "cyan" | "dim";
const CODES: Readonly<Record<Colour, number>> = { dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 };
const BY_VERDICT: Readonly<Record<string, Colour>> = {
  allow: "green",
  deny: "red",
  forward: "cyan",
  proxy: "yellow",
};

const COLUMNS: readonly Column[] = [
  { title: "TIME", width: 12, cell: ({ time }, now) => clockTime(time, now), colour: () => "dim" },
  { title: "FROM", width: 24, cell: ({ pod }) => (pod ? `${pod.namespace}/${pod.name}` : "unresolved") },
  { title: "TO", width: 24, cell: (line) => route(line) },
  { title: "VERDICT", width: 7, cell: verdict, colour: verdictColour },
  { title: "REASON", width: 12, cell: ({ reason }) => reason },
  {
    title: "PROCESS",
    width: 12,
    cell: ({ process }) => (process ? `${process.comm || "?"}[${process.pid}]` : "?"),
  },
  { title: "POLICY", width: 0, cell: decidedBy },
];

/** Most characters that one long cell may push the columns after it to the right, for good. */
const MOST = 60;

export class VerdictTable {
  readonly #options: TableOptions;
  readonly #widths = COLUMNS.map(({ title, width }) => Math.max(title.length, width));

  constructor(options: TableOptions) {
    this.#options = options;
  }

  header(): string {
    return this.#row(
      COLUMNS.map(({ title }) => title),
      () => "dim",
    );
  }

  row(line: VerdictLine): string {
    const cells = COLUMNS.map(({ cell }) => cell(line, this.#options.now()));
    for (const [index, cell] of cells.entries()) {
      this.#widths[index] = Math.max(this.#widths[index] ?? 0, Math.min(cell.length, MOST));
    }
    return this.#row(cells, (index) => COLUMNS[index]?.colour?.(line));
  }

  #row(cells: readonly string[], colourOf: (index: number) => Colour | undefined): string {
    const padded = cells.map((cell, index) => {
      const last = index === cells.length - 1;
      const text = last ? cell : cell.padEnd(this.#widths[index] ?? 0);
      const colour = this.#options.colour ? colourOf(index) : undefined;
      return colour === undefined ? text : `\x1b[${CODES[colour]}m${text}\x1b[0m`;
    });
    return padded.join("  ").trimEnd();
  }
}

function route({ destination, forwardedTo }: VerdictLine): string {
  const to = placeName(destination);
  return forwardedTo === undefined ? to : `${to} -> ${placeName(forwardedTo)}`;
}

function placeName({ service, address, port }: LinePlace): string {
  if (service !== "") return `${service}:${port}`;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

function verdict({ verdict, enforced, audited }: VerdictLine): string {
  if (!enforced) return `${verdict} (not enforced)`;
  return audited === undefined ? verdict : `${verdict} (audit: ${audited.verdict})`;
}

function verdictColour({ verdict, enforced, audited }: VerdictLine): Colour | undefined {
  return !enforced || audited !== undefined ? "yellow" : BY_VERDICT[verdict];
}

function decidedBy(line: VerdictLine): string {
  const parts = [policyRule(line)];
  if (line.audited !== undefined) {
    parts.push(`audit: ${[line.audited.reason, policyRule(line.audited)].filter(Boolean).join(" ")}`);
  }
  if (line.errorCode !== "") parts.push(line.errorCode);
  for (const entry of line.log) parts.push(`log ${entry}`);
  if (line.suppressed > 0) parts.push(`+${line.suppressed} like it without a line`);
  return parts.filter((part) => part !== "").join("; ");
}

function policyRule({ policy, rule, ruleName, expression, error }: LineDecision): string {
  const which = rule === undefined ? "" : `rule ${rule}${ruleName && ` "${ruleName}"`}`;
  const head = [policy, which].filter(Boolean).join(" ");
  const why = error || expression;
  return head !== "" && why !== "" ? `${head}: ${why}` : head || why;
}

/** The reader's own time of day; the date too where it is another one. */
function clockTime(time: number, now: number): string {
  const at = new Date(time);
  if (Number.isNaN(at.getTime())) return "?";
  const two = (number: number, digits = 2) => `${number}`.padStart(digits, "0");
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${two(at.getMilliseconds(), 3)}`;
  if (at.toDateString() === new Date(now).toDateString()) return clock;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock}`;
}
