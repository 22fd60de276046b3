import { EventEmitter } from "node:events";
import { describe, expect, test } from "vitest";
import { type AgentLog, agentLog, levels } from "../../../agent/verdict/log.ts";
import type { VerdictRecord } from "../../../agent/verdict/record.ts";

const verdict: VerdictRecord = {
  time: 1763683200123,
  verdict: "deny",
  reason: "rule",
  layer: "connect4",
  process: { pid: 4711, comm: 'cu"rl\n' },
  destination: { address: "192.0.2.10", port: 443 } as VerdictRecord["destination"],
  errorCode: "ERR_NGROK_28001",
  suppressed: 0,
};

/** A destination that keeps what is written. */
class Memory extends EventEmitter {
  text = "";
  flushed = 0;

  write(text: string): void {
    this.text += text;
  }

  flushSync(): void {
    this.flushed++;
  }

  get lines(): Record<string, unknown>[] {
    return this.text
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  }
}

function logged(level: (typeof levels)[number], act: (log: AgentLog) => void): Memory {
  const memory = new Memory();
  act(agentLog(level, memory));
  return memory;
}

describe("the agent's log", () => {
  test("is one JSON object a line, with the kernel's time and a constant message for a verdict", () => {
    const { text, lines } = logged("info", (log) => {
      log.verdict(verdict);
      log.verdict({ ...verdict, time: 5 });
    });
    expect(text.split("\n")).toHaveLength(3);
    expect(lines.map(({ time, msg, level }) => ({ time, msg, level }))).toEqual([
      { time: 1763683200123, msg: "verdict", level: 30 },
      { time: 5, msg: "verdict", level: 30 },
    ]);
    expect(text.match(/"time":/g)).toHaveLength(2);
    expect(lines[0]?.process).toEqual({ pid: 4711, comm: 'cu"rl\\u{a}' });
  });

  test("has fields beside a constant message, and neither host nor pid of the agent", () => {
    const { lines } = logged("info", (log) => log.log("warn", "a map is full", { map: "verdicts" }));
    expect(lines).toEqual([{ level: 40, time: expect.any(Number), map: "verdicts", msg: "a map is full" }]);
  });

  test("leaves out what is below its level", () => {
    const { lines } = logged("warn", (log) => {
      log.log("info", "ready");
      log.log("warn", "a map is full");
      log.log("error", "reconcile failed");
    });
    expect(lines.map(({ msg }) => msg)).toEqual(["a map is full", "reconcile failed"]);
  });

  test.each(
    levels.filter((level) => level !== "fatal"),
  )("has verdicts at level %s: they are what the log is for", (level) => {
    expect(logged(level, (log) => log.verdict(verdict)).lines).toHaveLength(1);
  });

  test("has nothing but the end at level fatal", () => {
    const act = (log: AgentLog) => {
      log.verdict(verdict);
      log.log("error", "reconcile failed");
    };
    expect(logged("fatal", act).text).toBe("");
  });

  test("counts the lines that its destination dropped, and flushes it when told", () => {
    const memory = new Memory();
    const log = agentLog("info", memory);
    expect(log.dropped()).toBe(0);
    memory.emit("drop", "a line");
    memory.emit("drop", "another");
    expect(log.dropped()).toBe(2);
    log.flush();
    expect(memory.flushed).toBe(1);
  });
});

test("what somebody wrote into an object cannot move a reader's cursor, and keeps its lines", () => {
  const memory = logged("info", (log) =>
    log.log("warn", "odd object", { problem: "a\u202eb\u009b2J\nnext", count: 2, nothing: undefined }),
  );
  expect(memory.text).not.toMatch(/[\u202e\u009b]/);
  expect(memory.lines[0]).toMatchObject({ problem: "a\\u{202e}b\\u{9b}2J\nnext", count: 2 });
});
