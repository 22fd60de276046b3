import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, onTestFinished, test } from "vitest";
import { parseMoment } from "../../../agent/cli/moment.ts";
import type { LogOptions } from "../../lab/apiserver/logs.ts";
import { type ApiServer, startApiServer } from "../../lab/apiserver/server.ts";
import { lineOf, record } from "../verdict/lines.ts";
import { podgate, podgateHere, type Running, start } from "./podgate.ts";

const other = lineOf({ verdict: "allow", pod: { namespace: "payments", name: "web", uid: "u" } });
const ready = '{"level":30,"time":1,"msg":"ready"}';

describe("from standard input", () => {
  test("verdicts become a table, and what is none is left out", async () => {
    const input = [ready, lineOf(), "panic: no", other].join("\n");
    const { status, stdout, stderr } = await podgate(["verdicts"], { input });
    expect([status, stderr]).toEqual([0, ""]);
    const lines = stdout.trimEnd().split("\n");
    expect(lines.map((line) => line.match(/FROM|sandbox\/crawler-7c9|payments\/web/)?.[0])).toEqual([
      "FROM",
      "sandbox/crawler-7c9",
      "payments/web",
    ]);
    expect(stdout).not.toContain("\x1b");
  });

  test("-o json passes on the lines that fit, as they were", async () => {
    const input = `${ready}\n${lineOf()}\n${other}\n`;
    const { stdout } = await podgate(["verdicts", "-o", "json", "--verdict", "deny"], { input });
    expect(stdout).toBe(`${lineOf()}\n`);
  });

  test("a line separator inside an expression ends no line", async () => {
    const input = lineOf({ rule: { index: 0, expression: "a == '\u2028'" } });
    const { stdout } = await podgate(["verdicts", "-o", "json"], { input });
    expect(JSON.parse(stdout)).toEqual(JSON.parse(input));
  });

  test("--since and --to filter; --no-follow sorts by time", async () => {
    const late = lineOf({ time: record.time + 60_000 });
    const input = [late, lineOf(), lineOf({ time: record.time - 1 })].join("\n");
    const since = new Date(record.time).toISOString();
    const args = ["verdicts", "-o", "json", "--since", since, "--to", "ledger.payments", "--no-follow"];
    const { stdout } = await podgate(args, { input });
    expect(stdout).toBe(`${lineOf()}\n${late}\n`);
  });

  test("a reader that leaves ends it without a word", async () => {
    const run = start(["verdicts"], { input: `${lineOf()}\n`.repeat(20_000) });
    run.child.stdout?.once("data", () => run.child.stdout?.destroy());
    const { status, stderr } = await run.ended;
    expect([status, stderr]).toEqual([0, ""]);
  });
});

describe("wrong usage ends with 2 and says what to write:", () => {
  test.each([
    [["--verdict", "denied"], /allow, deny, forward, proxy, audited/],
    [["--to", "ledger"], /neither service\.namespace nor an address/],
    [["--since", "yesterday"], /write 90s, 5m/],
    [["-o", "yaml"], /table, json/],
    [["--nonsense"], /unknown option/],
  ])("%s", async (args, message) => {
    const { status, stderr } = await podgateHere(["verdicts", ...args]);
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
  });
});

test.each([
  ["90s", -90_000],
  ["5m", -300_000],
  ["1h30m", -5_400_000],
  ["2d", -172_800_000],
])("%s is so long before now", (text, expected) => {
  expect(parseMoment(text, 0)).toBe(expected);
});

test.each(["", "5", "m", "-5m", "5 m", "2026", "now", "2026-13-01"])("`%s` is no moment", (text) => {
  expect(parseMoment(text, 0)).toBeInstanceOf(Error);
});

/** What an agent's container writes: everything until now, then what `write` adds, to each who follows. */
class Log {
  #text = "";
  #connection = 0;
  readonly #wake = new Set<() => void>();
  readonly asked: LogOptions[] = [];

  write(line: string): void {
    this.#text += `${line}\n`;
    for (const wake of this.#wake) wake();
  }

  /** The connections to its readers break; it goes on. */
  drop(): void {
    this.#connection++;
    for (const wake of this.#wake) wake();
  }

  async *read(options: LogOptions): AsyncGenerator<string> {
    this.asked.push(options);
    const connection = this.#connection;
    for (let at = 0; ; ) {
      if (at < this.#text.length) yield this.#text.slice(at);
      at = this.#text.length;
      if (!options.follow) return;
      await new Promise<void>((resolve) => {
        this.#wake.add(resolve);
        options.signal.addEventListener("abort", () => resolve());
      });
      if (options.signal.aborted || this.#connection !== connection) return;
    }
  }
}

describe("from the agents' pods", () => {
  let server: ApiServer;
  const logs = new Map<string, Log>();
  const running: Running[] = [];
  afterEach(async () => {
    for (const { child } of running.splice(0)) child.kill("SIGKILL");
    await server.close();
    logs.clear();
  });

  async function startCluster(): Promise<string> {
    server = await startApiServer({ logs: (_, pod, __, options) => logs.get(pod)?.read(options) });
    server.store.create("namespaces", { metadata: { name: "podgate-system" } });
    const directory = mkdtempSync(join(tmpdir(), "podgate-verdicts-"));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const path = join(directory, "kubeconfig");
    writeFileSync(path, server.kubeconfig());
    return path;
  }

  function startAgent(name: string, app = "podgate"): Log {
    const log = new Log();
    logs.set(name, log);
    server.store.create("pods", {
      metadata: { name, namespace: "podgate-system", labels: { "app.kubernetes.io/name": app } },
      spec: {
        containers: [
          { name: "agent", image: "podgate" },
          { name: "side", image: "x" },
        ],
      },
      status: { phase: "Running" },
    });
    return log;
  }

  function follow(kubeconfig: string, ...args: string[]): Running {
    const run = start(["verdicts", "--kubeconfig", kubeconfig, "-o", "json", ...args]);
    running.push(run);
    return run;
  }

  /** Starting a process takes what it takes on a busy machine. */
  const shown = (run: Running) => expect.poll(() => pids(run.stdout()), { timeout: 15_000 });
  const once = (kubeconfig: string, ...args: string[]) =>
    podgateHere(["verdicts", "--kubeconfig", kubeconfig, "-o", "json", ...args]);
  const pids = (text: string) => [...text.matchAll(/"pid":(\d+)/g)].map(([, pid]) => Number(pid));
  const by = (pid: number, time = record.time) => lineOf({ time, process: { pid, comm: "curl" } });

  test("all agents are followed, those that come later too, and Ctrl-C ends it with 0", async () => {
    const kubeconfig = await startCluster();
    const [one, two] = [startAgent("podgate-1"), startAgent("podgate-2")];
    startAgent("other", "something").write(by(99));
    one.write(by(1));
    const run = follow(kubeconfig);
    await shown(run).toEqual([1]);
    two.write(by(2));
    await shown(run).toEqual([1, 2]);
    startAgent("podgate-3").write(by(3));
    await shown(run).toEqual([1, 2, 3]);
    run.child.kill("SIGINT");
    const { status, stderr } = await run.ended;
    expect([status, stderr]).toEqual([0, ""]);
  });

  test("a log that breaks off is opened again, and nothing is shown twice or left out", async () => {
    const kubeconfig = await startCluster();
    const one = startAgent("podgate-1");
    one.write(by(1));
    const run = follow(kubeconfig);
    await shown(run).toEqual([1]);
    one.drop();
    one.write(by(2));
    one.write(by(3));
    await shown(run).toEqual([1, 2, 3]);
    expect(one.asked.at(-1)?.sinceSeconds).toBeGreaterThan(0);
  });

  test("--no-follow shows what there is, in order of time, and ends", async () => {
    const kubeconfig = await startCluster();
    startAgent("podgate-1").write(by(2, record.time + 5));
    startAgent("podgate-2").write(by(1, record.time));
    const { status, stdout } = await once(kubeconfig, "--no-follow");
    expect([status, pids(stdout)]).toEqual([0, [1, 2]]);
  });

  test("--since asks for no more than that; without it the last lines are asked for", async () => {
    const kubeconfig = await startCluster();
    const one = startAgent("podgate-1");
    await once(kubeconfig, "--no-follow", "--since", "2m");
    await once(kubeconfig, "--no-follow");
    expect(one.asked.map(({ sinceSeconds, tailLines }) => [sinceSeconds !== undefined, tailLines])).toEqual([
      [true, undefined],
      [false, 100],
    ]);
    expect(one.asked[0]?.sinceSeconds).toBeGreaterThanOrEqual(120);
    expect(one.asked[0]?.sinceSeconds).toBeLessThan(150);
  });

  test("where there is no agent it says where it looked", async () => {
    const kubeconfig = await startCluster();
    const { status, stderr } = await once(kubeconfig, "--no-follow", "--selector", "a=b");
    expect(status).toBe(1);
    expect(stderr).toMatch(/no pod in podgate-system has a=b: give --agent-namespace or --selector/);
  });

  test("a context that the kubeconfig lacks is refused with those it has", async () => {
    const kubeconfig = await startCluster();
    const { status, stderr } = await once(kubeconfig, "--context", "production");
    expect(status).toBe(1);
    expect(stderr).toMatch(/use context `production`: the kubeconfig has podgate-lab/);
  });

  test("a server that is away ends it with 1", async () => {
    const kubeconfig = await startCluster();
    await server.close();
    const { status, stderr } = await once(kubeconfig);
    expect(status).toBe(1);
    expect(stderr).toMatch(/list pods in podgate-system: .*ECONNREFUSED/);
  });
});
