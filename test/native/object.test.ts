import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Native } from "../../agent/dataplane/native.ts";
import { builtNative, obstacle, Scratch, u16, u32 } from "./scratch.ts";

describe.skipIf(obstacle())("BpfObject", () => {
  let native: Native;
  let scratch: Scratch;
  beforeAll(() => {
    native = builtNative();
    scratch = new Scratch();
  });
  afterAll(() => scratch.remove());

  const open = (name: string) => new native.BpfObject(scratch.compile(name));

  it("lists programs and maps before it is loaded", () => {
    const object = open("gate");
    expect(object.programNames().sort()).toEqual(["enter", "permit4", "refuse4", "refuse6", "spare6"]);
    expect(object.mapNames()).toEqual(expect.arrayContaining(["connects", "events", "records"]));
    object.close();
  });

  it("describes structs as the compiler laid them out, holes included", () => {
    const object = open("gate");
    const layouts = object.structs();
    expect(layouts.find(({ name }) => name === "record")).toEqual({
      name: "record",
      size: 32,
      members: [
        { name: "sequence", offset: 0, size: 8 },
        { name: "port", offset: 8, size: 4 },
        { name: "address", offset: 12, size: 16 },
        { name: "nested", offset: 28, size: 4 },
      ],
    });
    expect(layouts.find(({ name }) => name === "inner")).toMatchObject({ size: 4 });
    object.close();
  });

  it("refuses to set a global that is not there or has another size", () => {
    const object = open("gate");
    expect(() => object.setGlobal("no_such_port", u16(1))).toThrow(
      expect.objectContaining({ code: "ENOENT", operation: "set global no_such_port" }),
    );
    expect(() => object.setGlobal("refused_port", u32(1))).toThrow(/value must have 2 bytes, not 4/);
    expect(() => object.setGlobal("refused_port", u16(1))).not.toThrow();
    object.close();
  });

  it("cannot be adjusted or loaded again once loaded, nor asked for programs before", () => {
    const object = open("gate");
    expect(() => object.program("refuse4")).toThrow(/call load\(\) first/);
    expect(() => object.map("events")).toThrow(expect.objectContaining({ code: "EINVAL" }));
    object.load();
    const busy = expect.objectContaining({ code: "EBUSY" });
    expect(() => object.load()).toThrow(busy);
    expect(() => object.setGlobal("refused_port", u16(1))).toThrow(busy);
    expect(() => object.setPinPath("records", "/x")).toThrow(busy);
    object.close();
  });

  it("says ENOENT for programs and maps that it does not have", () => {
    const object = open("gate");
    object.load();
    const absent = expect.objectContaining({ code: "ENOENT" });
    expect(() => object.program("nobody")).toThrow(absent);
    expect(() => object.map("nothing")).toThrow(absent);
    expect(() => object.program("spare6")).toThrow(/was not loaded/);
    object.close();
  });

  it("reuses a pinned map that fits and refuses one that does not", () => {
    const pin = `${scratch.pins}/reused`;
    const first = open("maps");
    first.setPinPath("numbers", pin);
    first.load();
    first.map("numbers").put(u32(7), Buffer.alloc(8, 1));
    first.close();

    const second = open("maps");
    second.setPinPath("numbers", pin);
    second.load();
    expect(second.map("numbers").get(u32(7))).toEqual(Buffer.alloc(8, 1));
    second.close();

    const third = open("maps");
    third.setPinPath("few", pin);
    expect(() => third.load()).toThrow(
      expect.objectContaining({ code: "EINVAL", log: expect.stringContaining(pin) }),
    );
    third.close();
  });

  it("puts the verifier's reason into the error", () => {
    const object = open("rejected");
    let error: unknown;
    try {
      object.load();
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ code: "EACCES", operation: "load object rejected" });
    expect((error as Error).message).toMatch(/^load object rejected: EACCES: /);
    expect((error as { log: string }).log).toMatch(/R\d+ invalid mem access 'map_value_or_null'/);
    expect(() => object.program("careless")).toThrow(/not loaded/);
    object.close();
  });

  it("refuses what is no BPF object, in one line that names the file", () => {
    expect(() => new native.BpfObject("/nonexistent/x.o")).toThrow("open object /nonexistent/x.o: ENOENT");
    expect(() => new native.BpfObject(import.meta.filename)).toThrow(
      expect.objectContaining({ code: "ENOEXEC" }),
    );
    expect(() => new native.BpfObject("/dev/zero")).toThrow(/not a regular file/);
    expect(() => new native.BpfObject("/tmp")).toThrow(/not a regular file/);
  });

  it("outlived by its maps and programs, closes twice and then says ERR_CLOSED", () => {
    const object = open("gate");
    object.load();
    const map = object.map("records");
    const program = object.program("refuse4");
    object.close();
    object.close();
    expect(map.get(u32(1))).toBeUndefined();
    expect(program.info().name).toBe("refuse4");
    const closed = expect.objectContaining({ code: "ERR_CLOSED" });
    expect(() => object.load()).toThrow(closed);
    expect(() => object.mapNames()).toThrow(closed);
    expect(() => object.structs()).toThrow(closed);
    expect(() => object.map("records")).toThrow(closed);
  });
});
