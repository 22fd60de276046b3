/** Lists and maps: building them, and finding something in them. */

import { equal } from "./compare.ts";
import type { Step } from "./frame.ts";
import { noOverload, typeOf } from "./type-of.ts";
import { Failure, isDictionary, isList, keyOf, Uint, type Value, WrittenMap } from "./value.ts";

export function listStep(elements: readonly Step[]): Step {
  return (frame) => {
    const list: Value[] = [];
    for (const element of elements) {
      const value = element(frame);
      if (value instanceof Failure) return value;
      list.push(value);
    }
    return list;
  };
}

export function mapStep(entries: readonly (readonly [key: Step, value: Step])[]): Step {
  return (frame) => {
    const map = new WrittenMap();
    for (const [keyStep, valueStep] of entries) {
      const key = keyStep(frame);
      if (key instanceof Failure) return key;
      const value = valueStep(frame);
      if (value instanceof Failure) return value;
      // A double finds a key, but is none.
      const normal = typeof key === "number" ? undefined : keyOf(key);
      if (normal === undefined) return new Failure(`a ${typeOf(key)} cannot be a map's key`);
      if (map.has(normal)) return new Failure(`the map has the key ${JSON.stringify(String(normal))} twice`);
      map.set(normal, value);
      if (key instanceof Uint) map.unsigned.add(key.value);
    }
    return map;
  };
}

export function select(value: Value, field: string): Value | Failure {
  return isDictionary(value) ? index(value, field) : new Failure(`a ${typeOf(value)} has no field ${field}`);
}

export function index(container: Value, at: Value): Value | Failure {
  if (isDictionary(container)) {
    const key = keyOf(at);
    if (key === undefined) return noOverload("[]", container, at);
    return container.get(key) ?? (container.has(key) ? null : new Failure(`no such key: ${String(key)}`));
  }
  const position = isList(container) ? keyOf(at) : undefined;
  if (!isList(container) || typeof position !== "bigint") return noOverload("[]", container, at);
  const element = position < 0n ? undefined : container[Number(position)];
  return element === undefined ? new Failure(`index out of bounds: ${position}`) : element;
}

/** Whether `container` has something under `at`. */
export function has(container: Value, at: Value): Value | Failure {
  const key = keyOf(at);
  if (isDictionary(container) && key !== undefined) return container.has(key);
  if (isList(container) && typeof key === "bigint") return key >= 0n && key < BigInt(container.length);
  return typeof at === "string"
    ? new Failure(`a ${typeOf(container)} has no field ${at}`)
    : noOverload("has()", container, at);
}

export function isIn(value: Value, container: Value): Value | Failure {
  if (isList(container)) return container.some((element) => equal(element, value));
  if (!isDictionary(container)) return noOverload("in", value, container);
  const key = keyOf(value);
  return key !== undefined && container.has(key);
}
