/** The tests of the CEL specification with their names, and which of them make up the core. */
import type { SimpleTest } from "@bufbuild/cel-spec/cel/expr/conformance/test/simple_pb.js";
import { getConformanceSuite, type IncrementalTestSuite } from "@bufbuild/cel-spec/testdata/tests.js";

export interface SpecTest {
  /** `file/section/test`; a number behind it where a section has two of one name. */
  readonly name: string;
  readonly test: SimpleTest;
  /** CEL itself: neither an extension nor a message. */
  readonly isCore: boolean;
}

const NOT_CORE = /_ext$|^macros2$|^optionals$|^type_deductions$|^unknowns$/;
/** A message's type by its name, or one being built: `Int32Value{value: 1}`. */
const MESSAGE =
  /TestAllTypes|NestedTest|GlobalEnum|enumValue|proto[23]|cel\.expr|google\.protobuf\.(?!Timestamp|Duration)|[A-Z]\w*\{/i;

export function specTests(): readonly SpecTest[] {
  const seen = new Map<string, number>();
  return getConformanceSuite().suites.flatMap((file) =>
    [...testsIn(file, file.name)].map(([path, test]) => {
      const count = (seen.get(path) ?? 0) + 1;
      seen.set(path, count);
      const name = count === 1 ? path : `${path} ${count}`;
      return { name, test, isCore: !NOT_CORE.test(file.name) && !MESSAGE.test(textOf(test)) };
    }),
  );
}

function* testsIn(suite: IncrementalTestSuite, path: string): Generator<[path: string, test: SimpleTest]> {
  for (const { name, original } of suite.tests) yield [`${path}/${name}`, original];
  for (const inner of suite.suites) yield* testsIn(inner, `${path}/${inner.name}`);
}

function textOf(test: SimpleTest): string {
  // Every part of it says of which message it is.
  return JSON.stringify(test, (key, value) => {
    if (key === "$typeName" || key === "description") return undefined;
    return typeof value === "bigint" ? String(value) : value;
  });
}
