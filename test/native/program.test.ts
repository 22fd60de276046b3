import { createServer, type Server } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { BpfLink, BpfObject, Native } from "../../agent/dataplane/native.ts";
import { builtNative, connectScript, obstacle, Scratch, u16, u32 } from "./scratch.ts";

const connect4 = 10; // enum bpf_attach_type
const connect6 = 11;
const cgroupLink = 3; // enum bpf_link_type
const rawTracepointLink = 1;

describe.skipIf(obstacle())("programs and links on a cgroup", () => {
  let native: Native;
  let scratch: Scratch;
  let server: Server;
  let port: number;
  let object: BpfObject;
  let links: BpfLink[] = [];
  let pinNumber = 0;

  beforeAll(async () => {
    native = builtNative();
    scratch = new Scratch();
    server = createServer((socket) => socket.end());
    await new Promise<void>((resolve) => server.listen(0, "::", resolve));
    port = (server.address() as { port: number }).port;
  });
  afterAll(() => {
    server?.close();
    scratch?.remove();
  });
  beforeEach(() => {
    object = new native.BpfObject(scratch.compile("gate"));
    object.setGlobal("refused_port", u16(port));
    object.load();
  });
  afterEach(() => {
    // A pinned link would outlive its descriptor, and with it the next test's cgroup.
    for (const link of links) link.detach();
    for (const link of links) link.close();
    links = [];
    object.close();
  });

  const attach = (program: string): BpfLink => {
    const link = object.program(program).attachCgroup(scratch.cgroup);
    links.push(link);
    return link;
  };
  const dial = (host = "127.0.0.1") => scratch.runInside(connectScript(host, port));
  const pin = () => `${scratch.pins}/pin${pinNumber++}`;

  it("refuse connect() with EPERM inside the cgroup, as the global says, IPv4 and IPv6", async () => {
    expect(await dial()).toBe("connected");
    attach("refuse4");
    expect(await dial()).toBe("EPERM");
    expect(await dial("::1")).toBe("connected");
    attach("refuse6");
    expect(await dial("::1")).toBe("EPERM");
    const perCpu = object.map("connects").get(u32(0)) ?? Buffer.alloc(0);
    const counts = Array.from({ length: native.possibleCpus() }, (_, cpu) => perCpu.readBigUInt64LE(8 * cpu));
    expect(counts.reduce((sum, count) => sum + count)).toBe(1n);
  });

  it("leave another port alone: the global is the port and nothing else", async () => {
    const other = new native.BpfObject(scratch.compile("gate"));
    other.setGlobal("refused_port", u16(port === 1 ? 2 : 1));
    other.load();
    links.push(other.program("refuse4").attachCgroup(scratch.cgroup));
    expect(await dial()).toBe("connected");
    other.close();
  });

  it("change place with LINK_UPDATE: same link, other program", async () => {
    const link = attach("refuse4");
    const before = link.info();
    expect(before).toMatchObject({
      type: cgroupLink,
      attachType: connect4,
      cgroupId: native.cgroupId(scratch.cgroup),
      programId: object.program("refuse4").info().id,
    });
    link.update(object.program("permit4"));
    expect(link.info()).toEqual({ ...before, programId: object.program("permit4").info().id });
    expect(await dial()).toBe("connected");
    link.update(object.program("refuse4"));
    expect(await dial()).toBe("EPERM");
  });

  it("refuse an update by a program of another type, and keep the one that is there", async () => {
    const link = attach("refuse4");
    expect(() => link.update(object.program("enter"))).toThrow(
      expect.objectContaining({ code: "EINVAL", operation: "update link" }),
    );
    expect(await dial()).toBe("EPERM");
  });

  it("stay attached while pinned, and open again from the pin", async () => {
    const path = pin();
    const link = object.program("refuse4").attachCgroup(scratch.cgroup);
    link.pin(path);
    link.close();
    link.close();
    object.close();
    expect(await dial()).toBe("EPERM");
    const again = native.BpfLink.open(path);
    links.push(again);
    expect(again.info()).toMatchObject({ type: cgroupLink, attachType: connect4 });
    again.detach();
    expect(again.info().cgroupId).toBe(0n);
    expect(await dial()).toBe("connected");
  });

  it("are detached when a link that is not pinned is closed", async () => {
    object.program("refuse4").attachCgroup(scratch.cgroup).close();
    expect(await dial()).toBe("connected");
  });

  it("attach from a pin too, to the hook they were loaded for", async () => {
    const paths = { four: pin(), six: pin() };
    object.program("refuse4").pin(paths.four);
    object.program("refuse6").pin(paths.six);
    object.close();
    const link6 = native.BpfProgram.open(paths.six).attachCgroup(scratch.cgroup);
    const link4 = native.BpfProgram.open(paths.four).attachCgroup(scratch.cgroup);
    links.push(link6, link4);
    expect(link6.info().attachType).toBe(connect6);
    expect(link4.info().attachType).toBe(connect4);
    expect(await dial()).toBe("EPERM");
    expect(await dial("::1")).toBe("EPERM");
  });

  it("count their runs only while statistics are enabled", async () => {
    attach("refuse4");
    const program = object.program("refuse4");
    await dial();
    const idle = program.info().runCount;
    const statistics = native.enableStats();
    await dial();
    statistics.close();
    statistics.close();
    const counted = program.info();
    expect(counted.runCount).toBe(idle + 1n);
    expect(counted.runTimeNs).toBeGreaterThan(0n);
    await dial();
    expect(program.info().runCount).toBe(counted.runCount);
  });

  it("attach to a raw tracepoint", () => {
    const link = object.program("enter").attachRawTracepoint("sys_enter");
    expect(link.info()).toMatchObject({
      type: rawTracepointLink,
      programId: object.program("enter").info().id,
    });
    link.close();
    expect(() => object.program("enter").attachRawTracepoint("no_such_tracepoint")).toThrow(
      expect.objectContaining({
        code: "ENOENT",
        operation: "attach enter to raw tracepoint no_such_tracepoint",
      }),
    );
  });

  it("say what could not be attached where, with the errno's name", () => {
    const program = object.program("refuse4");
    expect(() => program.attachCgroup("/nonexistent")).toThrow("attach refuse4 to /nonexistent: ENOENT");
    expect(() => program.attachCgroup("/tmp")).toThrow("attach refuse4 to /tmp: EBADF");
    expect(() => object.program("enter").attachCgroup(scratch.cgroup)).toThrow(
      /^attach enter to .*: EINVAL$/,
    );
    expect(() => program.pin("/tmp/not-on-bpffs")).toThrow(/^pin program refuse4 at \/tmp\/not-on-bpffs: E/);
  });

  it("are not mistaken for something else that is pinned", () => {
    const paths = { program: pin(), map: pin(), link: pin() };
    object.program("refuse4").pin(paths.program);
    attach("refuse4").pin(paths.link);
    const maps = new native.BpfObject(scratch.compile("maps"));
    maps.setPinPath("numbers", paths.map);
    maps.load();
    maps.close();
    expect(() => native.BpfProgram.open(paths.map)).toThrow(/EINVAL: the pin is a bpf-map, not a bpf-prog/);
    expect(() => native.BpfMap.open(paths.link)).toThrow(/EINVAL: the pin is a bpf-link, not a bpf-map/);
    expect(() => native.BpfLink.open(paths.program)).toThrow(/EINVAL: the pin is a bpf-prog, not a bpf-link/);
    expect(() => native.BpfMap.open(pin())).toThrow(expect.objectContaining({ code: "ENOENT" }));
    expect(native.BpfMap.open(paths.map).name).toBe("numbers");
  });

  it("throw ERR_CLOSED from every method once closed, and close again without complaint", () => {
    const program = object.program("refuse4");
    const link = program.attachCgroup(scratch.cgroup);
    program.close();
    program.close();
    link.close();
    link.close();
    const closed = expect.objectContaining({ code: "ERR_CLOSED" });
    expect(() => program.info()).toThrow(closed);
    expect(() => program.pin(pin())).toThrow(closed);
    expect(() => program.attachCgroup(scratch.cgroup)).toThrow(closed);
    expect(() => program.attachRawTracepoint("sys_enter")).toThrow(closed);
    expect(() => program.iterate(1)).toThrow(closed);
    expect(() => link.info()).toThrow(closed);
    expect(() => link.detach()).toThrow(closed);
    expect(() => link.update(object.program("permit4"))).toThrow(closed);
    const open = attach("refuse4");
    expect(() => open.update(program)).toThrow(closed);
  });

  it("accept nothing in disguise: a class is what made the object, not its prototype", () => {
    const wrong = expect.objectContaining({ name: "TypeError", code: "ERR_INVALID_ARG" });
    const link = attach("refuse4");
    const { prototype } = native.BpfProgram as unknown as { prototype: object };
    expect(() => link.update(Object.create(prototype))).toThrow(wrong);
    const disguised = Object.setPrototypeOf(object.map("records"), prototype);
    expect(disguised).toBeInstanceOf(native.BpfProgram);
    expect(() => link.update(disguised)).toThrow(wrong);
    expect(() => disguised.info()).toThrow(TypeError);
    expect(
      () =>
        new native.EventReader(
          link as never,
          { maxBatchBytes: 1 },
          () => {},
          () => {},
        ),
    ).toThrow(wrong);
    const { BpfMap, BpfProgram, BpfLink } = native as unknown as Record<string, new () => object>;
    for (const type of [BpfMap, BpfProgram, BpfLink]) {
      expect(() => Reflect.construct(type as new () => object, [3])).toThrow(wrong);
    }
  });

  it("iterate over every task, within the limit given", () => {
    const tasks = new native.BpfObject(scratch.compile("tasks"));
    tasks.load();
    const output = tasks.program("tasks").iterate(1 << 20);
    const ids = Array.from({ length: output.length / 4 }, (_, i) => output.readUInt32LE(4 * i));
    expect(ids).toContain(process.pid);
    expect(ids).toContain(process.ppid);
    expect(() => tasks.program("tasks").iterate(8)).toThrow(
      expect.objectContaining({ code: "EMSGSIZE", operation: "iterate tasks" }),
    );
    expect(() => object.program("refuse4").iterate(8)).toThrow(expect.objectContaining({ code: "EINVAL" }));
    tasks.close();
  });
});
