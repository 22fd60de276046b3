/** bpf/abi.h and agent/dataplane/abi.ts are two halves of one thing: sizes, offsets and numbers agree, and no hole can hide. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import * as abi from "../../agent/dataplane/abi.ts";
import { objectPath } from "../../agent/dataplane/kernel.ts";
import { loadNative, type StructLayout } from "../../agent/dataplane/native.ts";
import { obstacle } from "./rig.ts";

const BPF = join(import.meta.dirname, "../../bpf");
const HEADER = readFileSync(join(BPF, "abi.h"), "utf8");

/** Only the programs read and write these. */
const KERNEL_ONLY = ["event_limit", "event_limit_key", "event_recent", "forwarded"];
const structNames = [...HEADER.matchAll(/^struct (\w+) \{/gm)].map(([, name = ""]) => name);

/** `#define NAME 12`, `NAME = 12,` and `#define NAME 0xffff` of the header. */
const numbers = new Map(
  [...HEADER.matchAll(/^(?:#define\s+|\s+)([A-Z][A-Z0-9_]+)(?:\s*=\s*|\s+)(0x[0-9a-f]+|\d+)u?\b/gm)].map(
    ([, name = "", value]) => [name, Number(value)],
  ),
);

type Layout = Readonly<Record<string, number>>;

function asLayout({ size, members }: StructLayout): Layout {
  return { size, ...Object.fromEntries(members.map(({ name, offset }) => [name, offset])) };
}

describe.skipIf(obstacle() !== undefined)("the ABI", () => {
  const directory = mkdtempSync(join(tmpdir(), "podgate-abi-"));
  afterAll(() => rmSync(directory, { recursive: true }));

  /** Compiles C for the BPF target as bpf/build.cjs does. Returns the object's path, or what clang said. */
  function compile(name: string, source: string, header = HEADER): { object: string; complaint: string } {
    writeFileSync(join(directory, "abi.h"), header);
    const file = join(directory, `${name}.bpf.c`);
    writeFileSync(file, source);
    const object = file.replace(/\.c$/, ".o");
    const multiarch = `/usr/include/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;
    const flags = [
      "-O2",
      "-g",
      "-target",
      "bpf",
      "-mcpu=v3",
      "-Wall",
      "-Wextra",
      "-Werror",
      `-I${multiarch}`,
    ];
    const { status, stderr } = spawnSync("clang", [...flags, `-I${directory}`, "-c", file, "-o", object], {
      encoding: "utf8",
    });
    return { object, complaint: status === 0 ? "" : stderr };
  }

  function layoutsOf(path: string): Map<string, Layout> {
    const object = new (loadNative().BpfObject)(path);
    try {
      return new Map(object.structs().map((layout) => [layout.name, asLayout(layout)]));
    } finally {
      object.close();
    }
  }

  /** The compiler keeps the shape of what a global refers to: here of every struct. */
  const everyStruct = `#include "abi.h"
    ${structNames.map((name) => `struct ${name} *the_${name};`).join("\n")}`;

  test("agent/dataplane/abi.ts has every struct of the header that the agent reads or writes, and no other", () => {
    expect(Object.keys(abi.layouts).sort()).toEqual(
      structNames.filter((name) => !KERNEL_ONLY.includes(name)).sort(),
    );
    expect(structNames).toEqual(expect.arrayContaining(KERNEL_ONLY));
  });

  test.each(
    Object.entries(abi.layouts),
  )("struct %s has the same size and members at the same offsets", (name, layout) => {
    const { object, complaint } = compile("every", everyStruct);
    expect(complaint).toBe("");
    expect(layoutsOf(object).get(name)).toEqual(layout);
  });

  test.each([
    ["connect", 14],
    ["sockops", 3],
  ])("the built %s.bpf.o has no other shape of the %i structs that it shares", (name, count) => {
    const built = layoutsOf(objectPath(name));
    const shared = Object.entries(abi.layouts).filter(([struct]) => built.has(struct));
    for (const [struct, layout] of shared) expect(built.get(struct), struct).toEqual(layout);
    // Every key and value of a map is in the BTF of the object that declares the map.
    expect(shared).toHaveLength(count);
  });

  test("every byte of a struct belongs to a member with a name", () => {
    const native = loadNative();
    const object = new native.BpfObject(compile("every", everyStruct).object);
    const layouts = object.structs().filter(({ name }) => structNames.includes(name));
    object.close();
    expect(layouts).toHaveLength(structNames.length);
    for (const { name, size, members } of layouts) {
      let end = 0;
      for (const member of members) {
        expect(member.name, `a member of ${name}`).not.toBe("");
        expect(member.offset, `${name}.${member.name}`).toBe(end);
        end = member.offset + member.size;
      }
      expect(end, name).toBe(size);
    }
  });

  test.each([
    ["in the middle", /\t__u8 protocol;\n\t__u8 is_ipv6;\n/, "\t__u32 protocol;\n\t__u8 is_ipv6;\n"],
    ["at the end", /\t__u32 guard;\n\t__u32 pad;\n/, "\t__u32 guard;\n"],
  ])("the compiler refuses a hole %s", (_, member, replacement) => {
    const holed = HEADER.replace(member, replacement).replace(/^_Static_assert.*$/gm, "");
    expect(holed).not.toContain("_Static_assert");
    expect(HEADER).toMatch(member);
    expect(compile("holed", everyStruct, holed).complaint).toMatch(/padding .* \[-Werror,-Wpadded\]/);
    expect(compile("whole", everyStruct).complaint).toBe("");
  });

  test("the compiler refuses a struct whose size has changed", () => {
    const longer = HEADER.replace(
      "\t__u32 namespace_number;\n",
      "\t__u32 namespace_number;\n\t__u32 more;\n",
    );
    expect(compile("longer", everyStruct, longer).complaint).toMatch(/part of the map ABI/);
  });

  test("actions and reasons have the same numbers, one for each", () => {
    const named = (prefix: string) =>
      [...numbers]
        .filter(([name]) => name.startsWith(prefix))
        .map(([name, number]) => [name.slice(prefix.length).toLowerCase().replaceAll("_", "-"), number]);
    const actions = named("ACTION_");
    const reasons = named("REASON_");
    expect(actions).toHaveLength(4);
    expect(reasons).toHaveLength(15);
    for (const [name, number] of actions) expect(abi.actionOf(Number(number))).toBe(name);
    for (const [name, number] of reasons) expect(abi.reasonOf(Number(number))).toBe(name);
    // Nothing beyond, and zero is never valid.
    for (const number of [0, 5, 255]) expect(abi.actionOf(number)).toBeUndefined();
    for (const number of [0, 16, 255]) expect(abi.reasonOf(number)).toBeUndefined();
    expect(abi.actionNumber("proxy")).toBe(numbers.get("ACTION_PROXY"));
    expect(abi.reasonNumber("revoked")).toBe(numbers.get("REASON_REVOKED"));
  });

  test.each(
    Object.entries({
      NO_RULE: abi.NO_RULE,
      GUARD_PER_POD: abi.GUARD_PER_POD,
      POD_OVERSIZED: abi.POD_OVERSIZED,
      POD_ADDRESSES: abi.POD_ADDRESSES,
      COUNTER_REASONS: abi.COUNTER_REASONS,
      COUNTER_SLOTS: abi.COUNTER_SLOTS,
      ON_AGENT_DOWN_ALLOW: abi.ON_AGENT_DOWN_ALLOW,
      SUBJECT_UNRESOLVED: abi.SUBJECT_UNRESOLVED,
      SUBJECT_NAMESPACE: abi.SUBJECT_NAMESPACE,
      SUBJECT_POD: abi.SUBJECT_POD,
    }),
  )("%s is the same number", (name, number) => {
    expect(numbers.get(name)).toBe(number);
  });

  test("the counters have room for every action with every reason", () => {
    const highest = (prefix: string) =>
      Math.max(...[...numbers].filter(([name]) => name.startsWith(prefix)).map(([, number]) => number));
    expect(highest("REASON_")).toBeLessThan(abi.COUNTER_REASONS);
    expect(highest("ACTION_") * abi.COUNTER_REASONS + highest("REASON_")).toBeLessThan(abi.COUNTER_SLOTS);
  });

  test("a UID has as many bytes in the struct as the agent writes", () => {
    expect(HEADER).toMatch(new RegExp(`__u8 uid\\[${abi.UID_BYTES}\\];`));
  });
});
