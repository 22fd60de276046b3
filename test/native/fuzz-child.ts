/**
 * Calls every export and method of the addon with wrong types, lengths, receivers and handles, in random order.
 * A process of its own, so that a crash is a signal that the test sees. Prints how often each callable was called.
 * Usage: fuzz-child.ts SEED RUNS MAPS_OBJECT GATE_OBJECT CGROUP NETNS
 */
import fc from "fast-check";
import { type BpfMap, loadNative } from "../../agent/dataplane/native.ts";
import { FuzzedSockets } from "./fuzz-sockets.ts";
import { loadTcp } from "./tcp.ts";

const [seed, runs, mapsPath = "", gatePath = "", cgroup = "", netns = ""] = process.argv.slice(2);
const native = loadNative();
const sockets = new FuzzedSockets(native, netns, process.cwd());
const tcp = loadTcp();

type Callable = (...parameters: unknown[]) => unknown;
const classNames = ["BpfObject", "BpfProgram", "BpfLink", "BpfMap", "EventReader", "Pump"] as const;

/** Everything that can be called: functions, constructors (also without `new`), static and instance methods. */
const callables = new Map<string, Callable>();
const constructors = { Netns: native.Netns, Acceptor: native.Acceptor, ...sockets.classes };
const exported = { ...native, ...constructors };
for (const [name, value] of Object.entries(exported)) {
  callables.set(name, value as Callable);
  if (!(classNames as readonly string[]).includes(name) && !(name in constructors)) continue;
  callables.set(`new ${name}`, (...parameters) => Reflect.construct(value as Callable, parameters));
  const prototype = (value as { prototype: object }).prototype;
  for (const owner of [value, prototype]) {
    for (const [key, { value: method }] of Object.entries(Object.getOwnPropertyDescriptors(owner))) {
      if (typeof method === "function" && key !== "constructor") callables.set(`${name}.${key}`, method);
    }
  }
}

/** Instances, some of them closed, and things that look like instances. Made anew again and again: calls close them. */
function receivers(): unknown[] {
  const maps = new native.BpfObject(mapsPath);
  maps.load();
  const gate = new native.BpfObject(gatePath);
  gate.load();
  const open = ["numbers", "per_cpu", "prefixes", "queue", "ring", "tails"].map((name) => maps.map(name));
  const closed = maps.map("numbers");
  closed.close();
  const link = gate.program("enter").attachRawTracepoint("sys_enter");
  const disguised = maps.map("numbers");
  Object.setPrototypeOf(disguised, Object.getPrototypeOf(link));
  const reader = new native.EventReader(
    maps.map("ring"),
    { maxBatchBytes: 64 },
    () => {},
    () => {},
  );
  reader.unref();
  const closedReader = new native.EventReader(
    maps.map("ring"),
    { maxBatchBytes: 64 },
    () => {},
    () => {},
  );
  closedReader.close();
  const likeness = classNames.map((name) =>
    Object.create((native[name] as unknown as { prototype: object }).prototype),
  );
  const closedObject = new native.BpfObject(gatePath);
  closedObject.close();
  const programs = [
    gate.program("refuse4"),
    gate.program("enter"),
    gate.program("refuse4").attachCgroup(cgroup),
  ];
  const handle = native.enableStats();
  const fresh = new native.BpfObject(gatePath);
  const proxy = new Proxy(maps.map("numbers"), {});
  const pump = new native.Pump({ threads: 2 });
  const [application, client] = tcp.pair();
  const [server, upstream] = tcp.pair();
  const closedPump = new native.Pump({ threads: 1 });
  closedPump.close();
  return [
    maps,
    gate,
    fresh,
    closedObject,
    ...open,
    closed,
    link,
    disguised,
    reader,
    closedReader,
    ...likeness,
    ...programs,
    handle,
    proxy,
    ...sockets.instances(),
    ...[pump, pump, pump, closedPump, application, client, server, upstream, tcp.unconnected()],
    ...[tcp.listening(), () => {}, { idleMs: 0 }, { idleMs: 1 }, { threads: 1 }, { threads: 65, idleMs: -1 }],
  ];
}

function detached(): Uint8Array {
  const bytes = new Uint8Array(8);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  return bytes;
}

function shrunk(): Uint8Array {
  const buffer = new ArrayBuffer(64, { maxByteLength: 128 });
  const view = new Uint8Array(buffer, 32, 8);
  buffer.resize(16);
  return view;
}

/** Options whose getter closes the map that is passed beside it. */
function treacherous(instances: unknown[]): object {
  return {
    get maxBatchBytes() {
      for (const instance of instances)
        if (isA(instance, callables.get("BpfMap"))) (instance as BpfMap).close();
      return 64;
    },
  };
}

const sizes = [0, 1, 2, 3, 4, 5, 8, 12, 16, 20, 24, 32, 64, 4096, 65536];
const bytes = fc.oneof(
  fc.constantFrom(...sizes).map((size) => new Uint8Array(size).fill(1)),
  fc.constantFrom(...sizes).map((size) => Buffer.alloc(size)),
  fc.constantFrom(...sizes).map((size) => new Uint8Array(new SharedArrayBuffer(size))),
  fc
    .constantFrom(...sizes)
    .map((size) => new Uint8Array(new ArrayBuffer(size, { maxByteLength: size + 64 }))),
  fc.constantFrom(...sizes).map((size) => new Uint8Array(size + 3).subarray(3)),
  fc.constantFrom(detached, shrunk).map((make) => make()),
);
// No count between 64 Ki and 2 Gi: a map of such a size could really be made, and take the machine's memory.
const numbers = fc.constantFrom(
  ...[0, -0, 1, 2, 8, 64, 65536, -1, 0.5, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53, 1e308, Number.MIN_VALUE],
  ...[Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -(2 ** 31), -(2 ** 63)],
);
const names = [
  "numbers",
  "per_cpu",
  "prefixes",
  "refuse4",
  "enter",
  "refused_port",
  "records_per_connect",
  "nothing",
];
const strings = fc.oneof(
  fc.constantFrom(
    ...names,
    "",
    "\0",
    "numbers\0x",
    "\ud800",
    "ü".repeat(200),
    "x".repeat(5000),
    "y".repeat(1 << 20),
  ),
  fc.constantFrom(
    mapsPath,
    gatePath,
    cgroup,
    "/",
    "/tmp",
    "/dev/null",
    "/proc/self/mem",
    "/nonexistent",
    "../..",
  ),
  fc.string({ unit: "binary", maxLength: 300 }),
);
const oddities = fc.constantFrom<unknown>(
  ...[
    undefined,
    null,
    true,
    false,
    1n,
    -(2n ** 70n),
    Symbol("s"),
    {},
    [],
    () => {},
    /x/,
    new Date(Number.NaN),
  ],
  ...[
    new Uint8ClampedArray(4),
    new Int8Array(4),
    new Float64Array(1),
    new BigInt64Array(1),
    new DataView(new ArrayBuffer(8)),
  ],
  ...[
    new ArrayBuffer(4),
    new SharedArrayBuffer(4),
    Object.create(null),
    new Proxy({}, {}),
    new Proxy(() => {}, {}),
  ],
  ...[
    { maxBatchBytes: 64 },
    { maxBatchBytes: -1 },
    { length: 4 },
    new String("numbers"),
    new Number(4),
    globalThis,
    native,
  ],
  {
    get maxBatchBytes() {
      throw new Error("thrown by a getter");
    },
  },
  () => {
    throw new Error("thrown by a callback");
  },
);

interface Call {
  readonly name: string;
  readonly receiver: number;
  /** A number stands for one of the receivers. */
  readonly parameters: readonly (number | { value: unknown })[];
}
const parameter = fc.oneof(
  fc.nat(90),
  ...[bytes, numbers, strings, oddities].map((kind) => kind.map((value) => ({ value }))),
);
const call: fc.Arbitrary<Call> = fc.record({
  name: fc.constantFrom(...callables.keys()),
  receiver: fc.nat(90),
  parameters: fc.array(parameter, { maxLength: 5 }),
});

const counts = new Map([...callables.keys()].map((name) => [name, 0]));
const outcomes = { returned: 0, threw: 0 };

/** Half of the calls have a receiver of the right class, else most would stop at the receiver. */
function receiverFor({ name, receiver }: Call, instances: unknown[]): unknown {
  const type = (exported as unknown as Record<string, Callable>)[name.split(".")[0] ?? ""];
  const fitting =
    typeof type === "function" && receiver % 2 === 0 ? instances.filter((it) => isA(it, type)) : [];
  const choice = fitting.length > 0 ? fitting : instances;
  return choice[receiver % choice.length];
}

function isA(value: unknown, type: Callable | undefined): boolean {
  return type?.prototype !== undefined && value instanceof type;
}

function perform(one: Call, instances: unknown[]): void {
  const parameters = one.parameters.map((it) => {
    if (typeof it !== "number") return it.value;
    return it === 0 ? treacherous(instances) : instances[it % instances.length];
  });
  counts.set(one.name, (counts.get(one.name) ?? 0) + 1);
  try {
    const act = (args: unknown[]) => callables.get(one.name)?.apply(receiverFor(one, instances), args);
    const result = sockets.call(one.name, act, parameters);
    if (result instanceof (native.EventReader as unknown as new () => object))
      (result as { unref(): void }).unref();
    outcomes.returned++;
  } catch (error) {
    if (!(error instanceof Error)) throw new Error(`${one.name} threw what is no Error`, { cause: error });
    if (error.message === "") throw new Error(`${one.name} threw an Error that says nothing`);
    outcomes.threw++;
  }
}

// What a reader's odd onError throws arrives here, as documented.
process.on("uncaughtException", (error) => {
  if (!/thrown by a callback/.test(String(error))) throw error;
});

await fc.assert(
  fc.asyncProperty(fc.array(call, { minLength: 40, maxLength: 160 }), async (calls) => {
    const instances = receivers();
    try {
      for (const one of calls) perform(one, instances);
    } catch (error) {
      // Told here, since fast-check fails to print a detached buffer.
      console.error(error);
      throw error;
    }
    for (const instance of instances) closeLinks(instance);
    sockets.closeAll();
    // Readers get their turn, finalizers theirs.
    await new Promise((resolve) => setImmediate(resolve));
    (globalThis as { gc?: () => void }).gc?.();
  }),
  { seed: Number(seed), numRuns: Number(runs), endOnFailure: true },
);

/** Attachments to the cgroup would slow each later run down until they are collected. */
function closeLinks(instance: unknown): void {
  if (instance instanceof (native.BpfLink as unknown as new () => object)) {
    try {
      (instance as unknown as { close(): void }).close();
    } catch {
      // A disguised map: not a link after all.
    }
  }
}

console.log(JSON.stringify({ outcomes, counts: Object.fromEntries(counts) }));
process.exit(0);
