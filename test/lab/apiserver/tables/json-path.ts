/** The JSONPath of CRD printer columns: `.a.b`, `['a.b']`, `[0]`, `[*]`, `[?(@.type=="Ready")]`. */
import { arrayOr, isObject } from "../json.ts";

type Step = (values: readonly unknown[]) => unknown[];

const token =
  /\.((?:[^.[\]\\]|\\.)+)|\['([^']*)'\]|\[(\d+)\]|\[\*\]|\[\?\(@\.([^=!<>\s]+)\s*==\s*(?:"([^"]*)"|'([^']*)'|([^)]*))\)\]/y;

/** Everything `path` leads to in `value`. Undefined: `path` is not understood. */
export function readPath(value: unknown, path: string): unknown[] | undefined {
  return parse(path)?.reduce<unknown[]>((values, step) => step(values), [value]);
}

function parse(path: string): Step[] | undefined {
  const steps: Step[] = [];
  for (let at = 0; at < path.length; at = token.lastIndex) {
    token.lastIndex = at;
    const match = token.exec(path);
    if (match === null) return undefined;
    steps.push(stepOf(match));
  }
  return steps;
}

function stepOf([, field, quoted, index, condition, ...wanted]: RegExpExecArray): Step {
  if (field !== undefined) return children(field.replaceAll(/\\(.)/g, "$1"));
  if (quoted !== undefined) return children(quoted);
  if (index !== undefined)
    return (values) => values.flatMap((value) => arrayOr(value).slice(Number(index), Number(index) + 1));
  if (condition === undefined)
    return (values) => values.flatMap((value) => (isObject(value) ? Object.values(value) : arrayOr(value)));
  const text = wanted.find((part) => part !== undefined)?.trim();
  const holds = (element: unknown) =>
    readPath(element, `.${condition}`)?.some((found) => String(found) === text);
  return (values) => values.flatMap((value) => arrayOr(value).filter(holds));
}

function children(field: string): Step {
  return (values) =>
    values.flatMap((value) => (isObject(value) && Object.hasOwn(value, field) ? [value[field]] : []));
}
