/** What lint found, for people: place, message, the line with the offending text underlined, and what to do. */
import type { PlacedDiagnostic } from "../policy/yaml.ts";
import { inert } from "../verdict/text.ts";
import { counts, type LintReport, textsOf } from "./lint-output.ts";

/** Columns of a source line that are shown. */
const MOST_COLUMNS = 140;

type Style = (text: string) => string;

interface Palette {
  readonly error: Style;
  readonly warning: Style;
  readonly place: Style;
  readonly aside: Style;
}

const plain: Style = (text) => text;
const sgr =
  (code: string): Style =>
  (text) =>
    `\x1b[${code}m${text}\x1b[0m`;
const COLOURS: Palette = { error: sgr("1;31"), warning: sgr("1;33"), place: sgr("1"), aside: sgr("36") };
const NO_COLOURS: Palette = { error: plain, warning: plain, place: plain, aside: plain };

export function lintAsText(report: LintReport, colours: boolean): string {
  const palette = colours ? COLOURS : NO_COLOURS;
  const texts = textsOf(report);
  const blocks = report.diagnostics.map((each) => block(each, texts.get(each.position.file) ?? "", palette));
  return `${blocks.map((text) => `${text}\n`).join("")}${summary(report)}\n`;
}

function block(diagnostic: PlacedDiagnostic, text: string, palette: Palette): string {
  const { position, severity, code } = diagnostic;
  const { problem, advice } = parts(diagnostic.message);
  const place = palette.place(`${inert(position.file)}:${position.line}:${position.column}:`);
  const number = `${position.line}`;
  const margin = " ".repeat(number.length);
  const { line, underline } = excerpt(diagnostic, text);
  return [
    `${place} ${palette[severity](severity)} ${code}: ${inert(problem)}`,
    `  ${palette.aside(`${number} |`)} ${line}`,
    `  ${palette.aside(`${margin} |`)} ${palette[severity](underline)}`,
    ...(advice === undefined ? [] : [`  ${palette.aside(`${margin} =`)} ${inert(advice)}`]),
    "",
  ].join("\n");
}

/** Messages end with what to do, after their last colon; where they quote what somebody else said, they may not. */
function parts(message: string): { readonly problem: string; readonly advice?: string } {
  // What is quoted may hold a colon itself: such as `- type: deny`.
  const at = message.replace(/`[^`]*`/g, (quoted) => "x".repeat(quoted.length)).lastIndexOf(": ");
  const advice = message.slice(at + 2);
  return at > 0 && ADVICE.test(advice) ? { problem: message.slice(0, at), advice } : { problem: message };
}

const ADVICE =
  /^(in .*, write|to .*, (write|say)|add|allow|begin|compare|correct|create|deny|end|give|guard|join|keep|leave|list|make|move|permit|pipe|put|quote|refer|remove|rename|say|shorten|split|test|use|write)\b/;

/** The line where it begins, cut to what fits around the offending text. */
function excerpt({ span, position }: PlacedDiagnostic, text: string) {
  const lineStart = span.start - (position.column - 1);
  const lineEnd = text.indexOf("\n", span.start);
  const line = withoutSecrets(text.slice(lineStart, lineEnd < 0 ? text.length : lineEnd).replace(/\r$/, ""));
  const start = span.start - lineStart;
  const end = Math.min(Math.max(span.end - lineStart, start + 1), Math.max(line.length, start + 1));
  const from = start > MOST_COLUMNS / 2 && line.length > MOST_COLUMNS ? start - MOST_COLUMNS / 4 : 0;
  const to = Math.min(line.length, from + MOST_COLUMNS);
  const before = `${from > 0 ? "..." : ""}${shown(line.slice(from, start))}`;
  const offending = shown(line.slice(start, Math.min(end, to)));
  const after = `${shown(line.slice(Math.min(end, to), to))}${to < line.length ? "..." : ""}`;
  return {
    line: `${before}${offending}${after}`,
    underline: `${" ".repeat(width(before))}^${"~".repeat(Math.max(width(offending) - 1, 0))}`,
  };
}

/** A policy may hold a private key, and what lint prints ends up in the logs of a build. */
function withoutSecrets(line: string): string {
  return line.replace(/(-----BEGIN [A-Z ]*PRIVATE KEY-----).*/, "$1...");
}

function shown(text: string): string {
  return inert(text.replaceAll("\t", " "));
}

/** Columns in a terminal: none for what combines with the character before, two for wide characters. */
function width(text: string): number {
  let columns = 0;
  for (const character of text) {
    if (/\p{M}/u.test(character)) continue;
    columns +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\p{Emoji_Presentation}]/u.test(
        character,
      )
        ? 2
        : 1;
  }
  return columns;
}

function summary(report: LintReport): string {
  const { errors, warnings } = counts(report);
  const where = `${report.policies} ${report.policies === 1 ? "policy" : "policies"} of ${count(report.files.length, "file")}`;
  if (errors + warnings === 0) return `no errors, no warnings in ${where}`;
  return `${count(errors, "error")} and ${count(warnings, "warning")} in ${where}`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
