/** The warning about rules that deny pods without an annotation. */
import { describe, expect, test } from "vitest";
import { formatDiagnostic } from "../../../agent/model/diagnostic.ts";
import { missingAnnotations } from "../../../agent/policy/missing-annotation.ts";
import { parsePolicy } from "../../../agent/policy/parse.ts";

const annotations = "conn.k8s.pod.metadata.annotations";

function warningsOf(...expressions: readonly string[]): readonly string[] {
  const rules = [{ actions: [{ type: "deny" }], expressions: ["true", ...expressions] }];
  const result = parsePolicy({ on_tcp_connect: rules }, "spec");
  if (!result.ok) throw new Error(result.diagnostics.map(formatDiagnostic).join("; "));
  return missingAnnotations(result.policy, "spec").map(formatDiagnostic);
}

describe("a pod without the annotation is denied", () => {
  test.each([
    `${annotations}["team"] != "a"`,
    `${annotations}["team"] == "a"`,
    `!(${annotations}.team in ["a"])`,
  ])("by %s, and its author is told where and what to do", (expression) => {
    expect(warningsOf(expression)).toEqual([
      expect.stringMatching(
        /^spec\.on_tcp_connect\[0\]\.expressions\[1\]: PODGATE_MISSING_KEY: .*no such key: team.* first$/,
      ),
    ]);
  });

  test.each([
    `"team" in ${annotations} && ${annotations}["team"] != "a"`,
    `has(${annotations}.team) && ${annotations}.team != "a"`,
    'conn.k8s.pod.metadata.namespace != "a"',
    `conn.k8s.pod.metadata.name.startsWith("a")`,
  ])("but not by %s", (expression) => {
    expect(warningsOf(expression)).toEqual([]);
  });
});
