/** A function as CEL sees it: a signature that the checker knows and values are matched against, and what it does. */
import type { Frame } from "../frame.ts";
import { type Estimator, reading, type Shape, size, sum } from "../shape.ts";
import { typeOf } from "../type-of.ts";
import type { Failure, Value } from "../value.ts";

export interface Overload {
  /** As called: `size`, or with its namespace, `rand.int`. */
  readonly name: string;
  readonly isMethod: boolean;
  /** The receiver first, where it is a method. */
  readonly parameters: readonly string[];
  readonly returns: string;
  readonly call: (operands: readonly Value[], frame: Frame) => Value | Failure;
  readonly estimate: Estimator;
  /** It only reads its operands once: nothing has to be estimated while it runs. */
  readonly isSimple: boolean;
}

const RECEIVERS = /^(string|bytes|int|uint|double|bool|timestamp|duration|list|map|dyn)(<.*>)?$/;
const RUNTIME_TYPES: Readonly<Record<string, string>> = {
  timestamp: "google.protobuf.Timestamp",
  duration: "google.protobuf.Duration",
  null: "null_type",
};

/**
 * From a signature such as `string.split(string, int): list<string>`. What stands before the dot is the receiver if it is a
 * type, and a namespace if not. `call` gets operands of these types, the frame last.
 */
export function overload(
  signature: string,
  call: (...operands: never[]) => Value | Failure,
  estimate?: Estimator,
): Overload {
  const [, before, word = "", list = "", returns = ""] =
    /^(?:([\w<>, ]+)\.)?(\w+)\((.*)\): (.+)$/.exec(signature) ?? [];
  const isMethod = before !== undefined && RECEIVERS.test(before);
  const parameters = list === "" ? [] : list.split(/, (?![^<]*>)/);
  const invoke = call as unknown as (...operands: readonly unknown[]) => Value | Failure;
  return {
    name: isMethod || before === undefined ? word : `${before}.${word}`,
    isMethod,
    parameters: isMethod ? [before, ...parameters] : parameters,
    returns,
    call: (operands, frame) => invoke(...operands, frame),
    estimate:
      estimate ?? ((operands) => ({ work: reading(operands), result: resultShape(returns, operands) })),
    isSimple: estimate === undefined,
  };
}

/** No function makes more of its operands than they are together, unless it has an estimate of its own. */
function resultShape(returns: string, operands: readonly Shape[]): Shape {
  const total = sum(operands.map(size));
  if (returns === "string" || returns === "bytes") return { length: Math.max(64, total) };
  if (returns === "dyn" || returns.startsWith("map")) return { length: total, total, any: true };
  if (!returns.startsWith("list")) return { length: 1 };
  return { length: sum(operands.map(({ length }) => length)), total, element: { length: 1, average: true } };
}

export function accepts(parameters: readonly string[], operands: readonly Value[]): boolean {
  return (
    parameters.length === operands.length &&
    parameters.every((parameter, index) => acceptsOne(parameter, operands[index] as Value))
  );
}

/** Only the outermost type is compared: what is inside, a function has to look at itself. */
function acceptsOne(parameter: string, operand: Value): boolean {
  const [head = ""] = parameter.split("<");
  if (head === "dyn") return true;
  return typeOf(operand) === (RUNTIME_TYPES[head] ?? head);
}
