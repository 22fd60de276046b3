/** The functions of CEL's standard library on text, lists and maps. */
import { PATTERN_WORK, testDynamic } from "../regex.ts";
import { SCALAR, size } from "../shape.ts";
import type { Dictionary, List } from "../value.ts";
import { overload } from "./overload.ts";

export const STANDARD = [
  ...["size(", ""].flatMap((form) => {
    const sizeOverload = (type: string, call: (value: never) => bigint) =>
      overload(form === "" ? `${type}.size(): int` : `size(${type}): int`, call);
    return [
      sizeOverload("string", (text: string) => BigInt(codePoints(text))),
      sizeOverload("bytes", (bytes: Uint8Array) => BigInt(bytes.length)),
      sizeOverload("list", (list: List) => BigInt(list.length)),
      sizeOverload("map", (map: Dictionary) => BigInt(map.size)),
    ];
  }),
  overload("string.startsWith(string): bool", (text: string, start: string) => text.startsWith(start)),
  overload("string.endsWith(string): bool", (text: string, end: string) => text.endsWith(end)),
  overload(
    "string.contains(string): bool",
    (text: string, part: string) => text.includes(part),
    ([text = SCALAR, part = SCALAR]) => ({ work: (size(text) * (1 + size(part) / 32)) / 32, result: SCALAR }),
  ),
  // Where the pattern is a literal, it is compiled with the expression instead: see program.ts.
  overload("string.matches(string): bool", testDynamic, ([text = SCALAR]) => ({
    work: PATTERN_WORK.compile + size(text) * PATTERN_WORK.program,
    result: SCALAR,
  })),
  overload("matches(string, string): bool", testDynamic, ([text = SCALAR]) => ({
    work: PATTERN_WORK.compile + size(text) * PATTERN_WORK.program,
    result: SCALAR,
  })),
];

function codePoints(text: string): number {
  let count = text.length;
  for (let index = 1; index < text.length; index++) {
    // The first halves of pairs, in well-formed text.
    if ((text.charCodeAt(index) & 0xfc00) === 0xdc00) count--;
  }
  return count;
}
