/** Test results in the XML that CI systems read: a suite for each directory, a testcase for each test. */

import { formatPlaced } from "../policy/yaml.ts";
import type { CaseResult, TrialResult } from "./trial.ts";

export function junit(trials: readonly TrialResult[]): string {
  const suites = trials.map(suite).join("");
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="podgate test">\n${suites}</testsuites>\n`;
}

function suite({ name, results, diagnostics }: TrialResult): string {
  const failures = results.filter((result) => result.failures.length > 0).length;
  const errors = diagnostics.length > 0 ? 1 : 0;
  const head = `  <testsuite name="${escaped(name)}" tests="${results.length + errors}" failures="${failures}" errors="${errors}">\n`;
  const faults = diagnostics.map(formatPlaced).join("\n");
  const broken =
    errors === 0
      ? ""
      : `    <testcase classname="${escaped(name)}" name="the files can be read">\n      <error message="the files have faults">${escaped(faults)}</error>\n    </testcase>\n`;
  return `${head}${broken}${results.map((result) => testcase(name, result)).join("")}  </testsuite>\n`;
}

function testcase(suiteName: string, { case: each, failures }: CaseResult): string {
  const { file, line } = each.position;
  const head = `    <testcase classname="${escaped(suiteName)}" name="${escaped(each.name)}" file="${escaped(file)}" line="${line}"`;
  if (failures.length === 0) return `${head}/>\n`;
  const { position } = each.expect;
  const text = `${position.file}:${position.line}:${position.column}: ${failures.join("\n")}`;
  return `${head}>\n      <failure message="${escaped(failures[0] ?? "")}">${escaped(text)}</failure>\n    </testcase>\n`;
}

/** XML 1.0 has no way to write most control characters, escaped or not. */
function escaped(text: string): string {
  return (
    text
      // biome-ignore lint/suspicious/noControlCharactersInRegex: those that XML cannot hold
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Cs}/gu, "\ufffd")
      .replaceAll("&", "&amp;")
      .replaceAll("<", "&lt;")
      .replaceAll(">", "&gt;")
      .replaceAll('"', "&quot;")
      .replace(/[\t\n\r]/g, (character) => `&#${character.charCodeAt(0)};`)
  );
}
