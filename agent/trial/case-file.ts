/** Reads a tests.yaml: who dials what, and what should come of it. Every fault has its line and column. */
import { field } from "../cluster/fields.ts";
import type { Moment } from "../explain/caller.ts";
import type { LocalPod } from "../model/objects.ts";
import {
  type PlacedDiagnostic,
  type PolicyDocument,
  type Position,
  place,
  readPolicyFile,
} from "../policy/yaml.ts";
import { readCaller, readMoment } from "./case-caller.ts";
import { type Expectation, readExpectation } from "./expectation.ts";
import { Schema } from "./schema.ts";

/** One test, as it is written. */
export interface Case {
  readonly name: string;
  readonly position: Position;
  /** `namespace/pod`, `unresolved`, or a pod described here. */
  readonly from: string | LocalPod;
  readonly to: string;
  /** Of one connection, where the test gives it: else it is about all of them. */
  readonly moment: Moment | undefined;
  readonly expect: Expectation;
}

export interface CaseFile {
  readonly cases: readonly Case[];
  /** As the agents have it. */
  readonly trustedNamespaces: readonly string[];
  readonly diagnostics: readonly PlacedDiagnostic[];
}

const EXAMPLE = "such as `- name: a pod of payments gets in`";

export function readCaseFile(text: string, file: string): CaseFile {
  const documents = readPolicyFile(text, file);
  const [document] = documents;
  const faults = documents.flatMap(({ diagnostics }) => diagnostics);
  if (document === undefined || faults.length > 0) {
    return { cases: [], trustedNamespaces: [], diagnostics: faults.length > 0 ? faults : [empty(file)] };
  }
  const schema = new Schema();
  const root = schema.object("", document.value, ["to", "trustedNamespaces", "tests"]);
  const to = schema.text("to", root.to, "a destination such as ledger.payments:443");
  const trusted = schema.list(
    "trustedNamespaces",
    root.trustedNamespaces ?? ["default", "kube-system"],
    "names",
  );
  const items = schema.list("tests", root.tests, `a list of tests, ${EXAMPLE}`);
  if (root.tests !== undefined && items.length === 0)
    schema.fault("tests", `it is empty: write a test, ${EXAMPLE}`);
  const cases = items.flatMap((item, index) => readCase(item, `tests[${index}]`, to, document, schema) ?? []);
  sayTwice(items, document, schema);
  return {
    cases,
    trustedNamespaces: trusted.filter((name) => typeof name === "string"),
    diagnostics: schema.faults.map((fault) => place(document, fault)),
  };
}

function empty(file: string): PlacedDiagnostic {
  const position = { file, line: 1, column: 1 };
  const message = `the file is empty: write \`tests:\` and below it a list, ${EXAMPLE}`;
  return { severity: "error", code: "PODGATE_TEST", path: "", message, position, span: { start: 0, end: 0 } };
}

const KEYS = [
  "name",
  "from",
  "to",
  "clientPort",
  "time",
  "expect",
  "reason",
  "rule",
  "policy",
  "target",
  "audited",
  "logs",
];

function readCase(
  item: unknown,
  path: string,
  everywhere: string | undefined,
  document: PolicyDocument,
  schema: Schema,
): Case | undefined {
  const before = schema.faults.length;
  const fields = schema.object(path, item, KEYS);
  const name = schema.required(`${path}.name`, fields.name, "what the test says, as a sentence");
  const from = readCaller(fields.from, `${path}.from`, schema);
  const own = schema.text(`${path}.to`, fields.to, "a destination such as ledger.payments:443");
  const to = own ?? everywhere;
  if (to === undefined && fields.to === undefined) {
    schema.fault(
      path,
      "it has no destination: write `to: ledger.payments:443` here or at the top of the file",
    );
  }
  const moment = readMoment(fields, path, schema);
  const expect = readExpectation(fields, path, document, schema);
  const whole = schema.faults.length === before;
  if (!whole || name === undefined || from === undefined || to === undefined || expect === undefined) {
    return undefined;
  }
  return { name, position: document.locate(path), from, to, moment, expect };
}

/** Reports name tests: two of one name cannot be told apart. */
function sayTwice(items: readonly unknown[], document: PolicyDocument, schema: Schema): void {
  const seen = new Map<unknown, number>();
  for (const [index, item] of items.entries()) {
    const name = field(item, "name");
    const first = seen.get(name);
    if (first === undefined) seen.set(name, index);
    else if (name !== undefined) {
      const { line } = document.locate(`tests[${first}]`);
      schema.fault(`tests[${index}].name`, `the test of line ${line} has this name too: give each its own`);
    }
  }
}
