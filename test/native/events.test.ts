import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { builtNative, eventScript, obstacle, Scratch } from "./scratch.ts";

// Every script is a process inside the cgroup, so that its own connects make the events.
describe.skipIf(obstacle())("EventReader", () => {
  let scratch: Scratch;
  beforeAll(() => {
    builtNative();
    scratch = new Scratch();
  });
  afterAll(() => scratch?.remove());

  const run = async (recordsPerConnect: number, script: string): Promise<unknown> => {
    const body = eventScript(scratch, recordsPerConnect) + script;
    return JSON.parse(await scratch.runInside(`(async () => { ${body} })()`));
  };

  it("hands over every record, whole and in order", async () => {
    const result = await run(
      1000,
      `const records = [];
       const reader = new native.EventReader(object.map("events"), { maxBatchBytes: 1 << 20 },
         (batch) => records.push(...splitRecords(batch)), (error) => { throw error; });
       for (let i = 0; i < 50; i++) await connect();
       await until(() => records.length >= 50_000);
       const stats = reader.stats();
       reader.close();
       console.log(JSON.stringify({
         count: records.length,
         whole: records.every((record) => record.length === 32 && record.readUInt32LE(8) === 9),
         inOrder: records.every((record, i) => record.readBigUInt64LE(0) === BigInt(i % 1000)),
         stats: [stats.records, stats.batches > 0, stats.callbackErrors],
       }));`,
    );
    expect(result).toEqual({ count: 50_000, whole: true, inOrder: true, stats: [50_000, true, 0] });
  });

  it("ends a batch with the record that reaches maxBatchBytes, and goes on in the next turn of the loop", async () => {
    const result = await run(
      10,
      `const sizes = [];
       const reader = new native.EventReader(object.map("events"), { maxBatchBytes: 100 }, (batch) => {
         sizes.push(batch.length);
       }, () => {});
       for (let i = 0; i < 3; i++) await connect();
       await until(() => reader.stats().records >= 30);
       reader.close();
       console.log(JSON.stringify(sizes));`,
    );
    // A record is 4 + 32 bytes; the third reaches 100. However the connects meet the reader, none is larger.
    expect(result).toSatisfy((sizes: number[]) => sizes.every((size) => size % 36 === 0 && size <= 108));
    expect((result as number[]).reduce((sum, size) => sum + size)).toBe(30 * 36);
  });

  it("survives exceptions of onBatch: they go to onError, and later records still arrive", async () => {
    const result = await run(
      1,
      `const errors = [];
       let seen = 0, calls = 0;
       const reader = new native.EventReader(object.map("events"), { maxBatchBytes: 4096 }, (batch) => {
         seen += splitRecords(batch).length;
         if (++calls % 2 === 1) throw new RangeError("thrown by the test " + calls);
       }, (error) => errors.push(error.name + ": " + error.message));
       for (let i = 1; i <= 4; i++) { await connect(); await until(() => calls === i); }
       const stats = reader.stats();
       reader.close();
       console.log(JSON.stringify({ seen, errors, callbackErrors: stats.callbackErrors }));`,
    );
    expect(result).toEqual({
      seen: 4,
      errors: ["RangeError: thrown by the test 1", "RangeError: thrown by the test 3"],
      callbackErrors: 2,
    });
  });

  it("makes what onError throws an uncaughtException, and still goes on", async () => {
    const result = await run(
      1,
      `const uncaught = [];
       process.on("uncaughtException", (error) => uncaught.push(error.message));
       const reader = new native.EventReader(object.map("events"), { maxBatchBytes: 4096 },
         () => { throw new Error("first"); }, () => { throw new Error("second"); });
       for (let i = 1; i <= 2; i++) { await connect(); await until(() => uncaught.length === i); }
       reader.close();
       console.log(JSON.stringify(uncaught));`,
    );
    expect(result).toEqual(["second", "second"]);
  });

  it("runs promises and process.nextTick after each batch", async () => {
    const result = await run(
      1,
      `const order = [];
       const reader = new native.EventReader(object.map("events"), { maxBatchBytes: 4096 }, () => {
         process.nextTick(() => order.push("tick"));
         Promise.resolve().then(() => order.push("promise"));
       }, () => {});
       await connect();
       await until(() => order.length === 2);
       reader.close();
       console.log(JSON.stringify(order));`,
    );
    expect(result).toEqual(["tick", "promise"]);
  });

  it("can be closed from within onBatch, twice, and is silent afterwards", async () => {
    const result = await run(
      50,
      `let calls = 0;
       const reader = new native.EventReader(object.map("events"), { maxBatchBytes: 36 }, () => {
         calls++;
         reader.close();
         reader.close();
       }, () => {});
       await connect();
       await connect();
       await settled();
       let code;
       try { reader.unref(); } catch (error) { code = error.code; }
       console.log(JSON.stringify({ calls, code, records: reader.stats().records }));`,
    );
    expect(result).toEqual({ calls: 1, code: "ERR_CLOSED", records: 1 });
  });

  it("keeps reading when neither it nor its map is referenced any more", async () => {
    const result = await run(
      1,
      `let seen = 0;
       const map = object.map("events");
       (() => { new native.EventReader(map, { maxBatchBytes: 4096 }, () => { seen++; }, () => {}).unref(); })();
       map.close();
       object.close();
       for (let i = 0; i < 5; i++) { gc(); await settled(); }
       await connect();
       await until(() => seen === 1);
       console.log(JSON.stringify(seen));`,
    );
    expect(result).toBe(1);
  });

  it("keeps the process alive, and lets it go after unref", async () => {
    const started = `const reader = new native.EventReader(object.map("events"), { maxBatchBytes: 4096 }, () => {}, () => {});`;
    expect(await run(1, `${started} reader.unref(); console.log("1");`)).toBe(1);
    const timer = `setTimeout(() => { console.log("2"); process.exit(0); }, 300).unref();`;
    expect(await run(1, `${started} reader.unref(); reader.ref(); ${timer}`)).toBe(2);
  });

  it("ends with its worker thread, open or closing", async () => {
    const result = await run(
      1,
      `const { Worker } = await import("node:worker_threads");
       const pin = ${JSON.stringify(scratch.pins)} + "/worker-events";
       const pinned = new native.BpfObject(${JSON.stringify(scratch.compile("gate"))});
       pinned.setPinPath("events", pin);
       pinned.load();
       const addon = ${JSON.stringify(`${import.meta.dirname}/../../build/Release/podgate.node`)};
       const codes = [];
       for (const last of ["", "reader.close();", "process.exit(7);"]) {
         const worker = new Worker(\`
           const native = require(\${JSON.stringify(addon)});
           const reader = new native.EventReader(native.BpfMap.open(\${JSON.stringify(pin)}), { maxBatchBytes: 64 }, () => {}, () => {});
           require("node:worker_threads").parentPort.postMessage("open");
           \${last}\`, { eval: true });
         await new Promise((resolve) => worker.once("message", resolve));
         await worker.terminate();
         codes.push(true);
       }
       gc();
       await settled();
       console.log(JSON.stringify(codes));`,
    );
    expect(result).toEqual([true, true, true]);
  });

  it("and every other handle leave no descriptor behind, whether closed or collected", async () => {
    const result = await run(
      1,
      `const { readdirSync } = await import("node:fs");
       const descriptors = () => readdirSync("/proc/self/fd").length;
       const collect = async () => { for (let i = 0; i < 3; i++) { gc(); await new Promise(setImmediate); } };
       const use = () => {
         const object = new native.BpfObject(${JSON.stringify(scratch.compile("gate"))});
         object.load();
         const program = object.program("enter");
         const map = object.map("events");
         const reader = new native.EventReader(map, { maxBatchBytes: 64 }, () => {}, () => {});
         const attached = program.attachRawTracepoint("sys_enter");
         for (const wrong of [() => program.attachCgroup("/tmp"), () => new native.EventReader(map, {}, 1, 2), () => new native.BpfObject("/etc/passwd")]) {
           try { wrong(); } catch {}
         }
         return [object, program, map, attached, native.enableStats(), native.lockDirectory("/proc/self"), reader];
       };
       use().map((handle) => handle.close());
       await collect();
       const before = descriptors();
       for (let i = 0; i < 20; i++) use().map((handle) => handle.close());
       await collect();
       const closed = descriptors();
       // An open reader is never collected, so this one is closed.
       for (let i = 0; i < 20; i++) { use().pop().close(); await collect(); }
       console.log(JSON.stringify([closed - before, descriptors() - before]));`,
    );
    expect(result).toEqual([0, 0]);
  });

  it("takes only a ring buffer", async () => {
    const result = await run(
      1,
      `try { new native.EventReader(object.map("records"), { maxBatchBytes: 1 }, () => {}, () => {}); }
       catch (error) { console.log(JSON.stringify([error.name, error.code, error.message])); }`,
    );
    expect(result).toEqual(["TypeError", "ERR_INVALID_ARG", "ringbuf must be a map of type ring buffer"]);
  });
});
