/** What lint found, for programs: JSON, and the commands by which GitHub marks lines of a pull request. */
import type { ManifestFile } from "../files/manifests.ts";
import type { PlacedDiagnostic } from "../policy/yaml.ts";
import { inert } from "../verdict/text.ts";

export interface LintReport {
  readonly diagnostics: readonly PlacedDiagnostic[];
  readonly files: readonly ManifestFile[];
  /** Policies, and objects that have one. */
  readonly policies: number;
}

/** Line and column count from 1; the end is exclusive. */
interface Place {
  readonly line: number;
  readonly column: number;
  readonly endLine: number;
  readonly endColumn: number;
}

export function counts({ diagnostics }: LintReport): { readonly errors: number; readonly warnings: number } {
  const errors = diagnostics.filter(({ severity }) => severity === "error").length;
  return { errors, warnings: diagnostics.length - errors };
}

export function lintAsJson(report: LintReport): string {
  const texts = textsOf(report);
  const diagnostics = report.diagnostics.map((each) => {
    const { severity, code, message, path } = each;
    return { file: each.position.file, ...placeOf(each, texts), severity, code, message, path };
  });
  const summary = { ...counts(report), files: report.files.length, policies: report.policies };
  return `${JSON.stringify({ diagnostics, summary }, undefined, 2)}\n`;
}

export function lintAsGithub(report: LintReport): string {
  const texts = textsOf(report);
  return report.diagnostics
    .map((each) => {
      const { line, column, endLine, endColumn } = placeOf(each, texts);
      // Columns are for one line only.
      const columns = line === endLine ? `,col=${column},endColumn=${endColumn}` : "";
      const where = `file=${property(each.position.file)},line=${line},endLine=${endLine}${columns}`;
      return `::${each.severity} ${where},title=${property(each.code)}::${data(each.message)}\n`;
    })
    .join("");
}

export function textsOf({ files }: LintReport): ReadonlyMap<string, string> {
  return new Map(files.map(({ name, text }) => [name, text]));
}

function placeOf({ position, span }: PlacedDiagnostic, texts: ReadonlyMap<string, string>): Place {
  const { line, column } = position;
  const lines = (texts.get(position.file) ?? "").slice(span.start, span.end).split("\n");
  const last = lines.at(-1) ?? "";
  return {
    line,
    column,
    endLine: line + lines.length - 1,
    endColumn: lines.length === 1 ? column + last.length : last.length + 1,
  };
}

function data(text: string): string {
  return inert(text).replaceAll("%", "%25");
}

function property(text: string): string {
  return data(text).replaceAll(":", "%3A").replaceAll(",", "%2C");
}
