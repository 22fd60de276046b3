import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { readVerdictLine, type VerdictLine } from "../../../agent/verdict/line.ts";
import { VerdictTable } from "../../../agent/verdict/table.ts";
import { lineOf, record } from "./lines.ts";

beforeAll(() => {
  vi.stubEnv("TZ", "UTC");
});
afterAll(() => {
  vi.unstubAllEnvs();
});

function read(parts: Parameters<typeof lineOf>[0] = {}): VerdictLine {
  const line = readVerdictLine(lineOf(parts));
  if (line === undefined) throw new Error("not read as a verdict");
  return line;
}

const table = (colour = false) => new VerdictTable({ colour, now: () => record.time });
const row = (parts: Parameters<typeof lineOf>[0] = {}) => table().row(read(parts));

test("a verdict is a row: when, who, where to, what, why, by which process and rule", () => {
  expect(row().split(/ {2,}/)).toEqual([
    "09:08:07.006",
    "sandbox/crawler-7c9",
    "payments/ledger:443",
    "deny",
    "rule",
    "curl[4711]",
    'AgentEndpoint payments/ledger rule 1 "own only": conn.k8s.pod.metadata.namespace != "payments"',
  ]);
});

test("a connection that was ended while it was open has no process that anybody knows", () => {
  const cells = row({ reason: "revoked", process: undefined }).split(/ {2,}/);
  expect(cells.slice(3, 6)).toEqual(["deny", "revoked", "?"]);
});

test("the columns stand below their titles, also after a longer cell", () => {
  const rows = table();
  rows.row(read({ pod: { namespace: "a-namespace-of-length", name: "and-a-pod-of-length", uid: "u" } }));
  const lines = [rows.header(), rows.row(read()), rows.row(read({ verdict: "allow" }))];
  const starts = lines.map((line) => [
    line.search(/TO|payments\/ledger:/),
    line.search(/VERDICT|deny|allow/),
  ]);
  expect(new Set(starts.map(String)).size).toBe(1);
});

test("where no Service is known there is the address", () => {
  expect(row({ destination: { address: "192.0.2.7", port: 80 } })).toContain(" 192.0.2.7:80 ");
  expect(row({ destination: { address: "2001:db8::7", port: 80 } })).toContain(" [2001:db8::7]:80 ");
});

test("a forwarded connection shows where it went", () => {
  const forwardedTo = { address: "192.0.2.11", port: 8080, service: "payments/web" };
  expect(row({ verdict: "forward", forwardedTo })).toContain(" payments/ledger:443 -> payments/web:8080 ");
});

test("a caller that could not be found is unresolved, with its code", () => {
  const text = row({ pod: undefined, errorCode: "ERR_NGROK_28001" });
  expect(text).toContain(" unresolved ");
  expect(text).toMatch(/; ERR_NGROK_28001$/);
});

test("an audited verdict says what it would have been, and by which policy", () => {
  const policy = { kind: "ConnectionPolicy", namespace: "payments", name: "new" };
  const text = row({
    verdict: "allow",
    reason: "fell-through",
    policy: undefined,
    rule: undefined,
    audited: { verdict: "deny", reason: "rule", policy, rule: { index: 0 } },
  });
  expect(text).toContain(" allow (audit: deny) ");
  expect(text).toMatch(/audit: rule ConnectionPolicy payments\/new rule 0$/);
});

test("a line stands for those that had none, and an error says what went wrong", () => {
  expect(row({ suppressed: 41 })).toMatch(/; \+41 like it without a line$/);
  const text = row({ reason: "expression-error", error: "no such key: k8s.ngrok.com/environment" });
  expect(text).toMatch(/rule 1 "own only": no such key: k8s.ngrok.com\/environment$/);
});

test("what log actions recorded is shown, safe to look at", () => {
  expect(row({ log: [{ who: "web" }, { what: "\u202e" }] })).toMatch(
    /; log \{"who":"web"\}; log \{"what":"\\\\u\{202e\}"\}$/,
  );
});

test("a line of another day has its date", () => {
  const rows = new VerdictTable({ colour: false, now: () => record.time + 86_400_000 });
  expect(rows.row(read())).toMatch(/^2026-11-21 09:08:07.006 /);
});

describe("colours", () => {
  test("are there only where they are asked for, and change nothing else", () => {
    const plain = table(false).row(read());
    const coloured = table(true).row(read());
    expect(plain).not.toContain("\x1b");
    expect(coloured).toContain("\x1b[31mdeny");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours themselves
    expect(coloured.replace(/\x1b\[\d+m/g, "")).toBe(plain);
  });

  test("an audited deny does not look like an allow", () => {
    const text = table(true).row(read({ verdict: "allow", audited: { verdict: "deny", reason: "rule" } }));
    expect(text).toContain("\x1b[33mallow (audit: deny)");
  });
});

describe("text that a workload chose", () => {
  test("stays escaped as the log has it", () => {
    const comm = "\x1b[2J\u202e\\x";
    expect(row({ process: { pid: 1, comm } })).toContain("\\u{1b}[2J\\u{202e}\\\\x[1]");
  });

  test("is escaped here where a line came from elsewhere", () => {
    const raw = JSON.stringify({
      ...JSON.parse(lineOf()),
      process: { pid: 1, comm: "\x1b]0;x\u0007\u009b" },
      policy: { kind: "K", namespace: "n", name: "\u202e" },
      rule: { index: 0, expression: "\r\x1b[1A\u2028" },
    });
    const line = readVerdictLine(raw);
    const text = line && table().row(line);
    expect(text).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}]/u);
    expect(text).toContain("\\u{1b}]0;x\\u{7}\\u{9b}[1]");
    expect(line?.json).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}]/u);
    expect(JSON.parse(line?.json ?? "")).toEqual(JSON.parse(raw));
  });

  test("cannot move the cursor between the tokens of a line either", () => {
    const line = readVerdictLine(lineOf().replace(",", ",\r\t"));
    expect(line?.json).not.toMatch(/[\r\t]/);
    expect(JSON.parse(line?.json ?? "")).toEqual(JSON.parse(lineOf()));
  });
});

describe("what is no verdict is left out:", () => {
  test.each([
    ["another line of the agent", '{"level":30,"time":1,"msg":"ready","node":"verdict"}'],
    ["half a line", lineOf().slice(0, -20)],
    ["a word", "verdict"],
    ["JSON that is no object", '["verdict"]'],
    ["null", '{"verdict":null'],
    ["a verdict without a destination", '{"msg":"verdict","time":1,"verdict":"deny","reason":"rule"}'],
    ["a verdict whose time is text", lineOf().replace(/"time":\d+/, '"time":"now"')],
    ["a verdict through a prototype", '{"__proto__":{"msg":"verdict"},"time":1,"verdict":"deny"}'],
  ])("%s", (_, text) => {
    expect(readVerdictLine(text)).toBeUndefined();
  });

  test("but not what kubectl writes before a line", () => {
    const prefix = "[pod/podgate-x2x/agent] 2026-11-21T09:08:07.006Z ";
    expect(readVerdictLine(prefix + lineOf())?.pod?.name).toBe("crawler-7c9");
  });
});
