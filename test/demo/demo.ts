/**
 * `npm run demo`: a cluster in a box, the documented policies, real programs dialling from real pods, and what the
 * agent says about each. Exit status 0 only if every row is as documented. Leaves nothing behind.
 */
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Pod } from "../lab/kube-objects.ts";
import { type Lab, startLab } from "../lab/lab.ts";
import { Dialer, type Dialled } from "./dial.ts";
import { documented, type Row } from "./rows.ts";
import { type Column, tableHead, tableLine } from "./table.ts";
import { User } from "./user.ts";

const EXAMPLES = join(import.meta.dirname, "../lab/examples");

const columns: readonly Column[] = [
  { title: "", width: 4 },
  { title: "FROM", width: 18 },
  { title: "TO", width: 31 },
  { title: "VERDICT", width: 7 },
  { title: "THE PROGRAM SAW", width: 23 },
  { title: "MICROS", width: 6, right: true },
  { title: "BECAUSE OF", width: 0 },
];

class Demo {
  readonly #lab: Lab;
  readonly #dialer: Dialer;
  readonly #agent: string;
  readonly #user: User;
  #wrong = 0;
  #rows = 0;

  constructor(lab: Lab, agent: string, user: User) {
    this.#user = user;
    this.#lab = lab;
    this.#agent = agent;
    this.#dialer = new Dialer(lab, agent);
  }

  async run(): Promise<boolean> {
    print(`\n${tableHead(columns)}`);
    for (const { title, rows } of documented) {
      print(`\n${title}`);
      for (const row of rows) await this.#row(row);
    }
    await this.#policyEdit();
    await this.#annotationChange();
    await this.#reusedAddress();
    await this.#showLog();
    const verdict = this.#wrong === 0 ? "as documented" : `but ${this.#wrong} not as documented`;
    print(`\n${this.#rows} connections, ${this.#wrong === 0 ? "all " : ""}${verdict}.`);
    return this.#wrong === 0;
  }

  async #row(row: Row): Promise<void> {
    const dialled = await this.#dialer.dial(this.#caller(row.from), row.to, row.family ?? 4);
    const { line, saw } = dialled;
    const answered =
      row.answer === undefined ? saw === "Operation not permitted" : saw.startsWith(row.answer);
    const right = line.verdict === row.verdict && line.reason === row.reason && answered;
    this.#rows += 1;
    if (!right) this.#wrong += 1;
    const to = row.family === 6 ? `${row.to} (IPv6)` : row.to;
    // An answer is the pod's name and the address it saw.
    const shown = row.answer === undefined ? saw : (saw.split(" ")[0] ?? "");
    const cells = [
      right ? "ok" : "NOT",
      row.from,
      to,
      line.verdict,
      shown,
      String(dialled.microseconds),
      because(dialled),
    ];
    print(tableLine(columns, cells));
    if (!right)
      print(`     expected ${row.verdict}, ${row.reason}${row.answer ? `, an answer of ${row.answer}` : ""}`);
  }

  #caller(from: string) {
    const [namespace = "", name = ""] =
      from === "unannounced" ? ["payments", "unannounced"] : from.split("/");
    return this.#lab.pod(namespace, name);
  }

  async #policyEdit(): Promise<void> {
    print("\nA live policy edit: `payments` becomes `sandbox` in the fail-closed endpoint");
    const text = readFileSync(join(EXAMPLES, "fail-closed.yaml"), "utf8");
    await this.#user.apply(text.replace('!= "payments"', '!= "sandbox"'));
    await this.#until("sandbox/crawler", "ledger.my-namespace:80", "allow");
    await this.#row({
      from: "sandbox/crawler",
      to: "ledger.my-namespace:80",
      verdict: "allow",
      reason: "rule",
      answer: "my-namespace/ledger",
    });
    await this.#row({
      from: "payments/billing",
      to: "ledger.my-namespace:80",
      verdict: "deny",
      reason: "rule",
    });
    await this.#user.apply(text);
    await this.#until("sandbox/crawler", "ledger.my-namespace:80", "deny");
  }

  async #annotationChange(): Promise<void> {
    print("\nA live annotation change: sandbox/staging becomes production");
    await this.#user.annotatePod("sandbox", "staging", "k8s.ngrok.com/environment", "production");
    await this.#until("sandbox/staging", "vault.my-namespace:80", "allow");
    await this.#row({
      from: "sandbox/staging",
      to: "vault.my-namespace:80",
      verdict: "allow",
      reason: "rule",
      answer: "my-namespace/vault",
    });
  }

  /** The address of an allowed pod goes to a pod of another namespace: the address says nothing. */
  async #reusedAddress(): Promise<void> {
    const { ipv4 } = this.#lab.pod("payments", "billing");
    print(`\nAn address reused: payments/billing (${ipv4}) is deleted, sandbox/impostor gets ${ipv4}`);
    await this.#lab.deletePod("payments", "billing", { gracePeriodSeconds: 0 });
    const annotations = { "lab.podgate.dev/ip": ipv4 };
    await this.#lab.apply([pod({ namespace: "sandbox", name: "impostor", annotations })]);
    await this.#lab.settled();
    if (this.#lab.pod("sandbox", "impostor").ipv4 !== ipv4)
      throw new Error(`reuse ${ipv4}: sandbox/impostor has another address`);
    await this.#row({
      from: "sandbox/impostor",
      to: "ledger.my-namespace:80",
      verdict: "deny",
      reason: "rule",
    });
  }

  async #until(from: string, to: string, verdict: string): Promise<void> {
    await this.#lab.waitFor(
      `${from} to get ${verdict} from ${to}`,
      async () => {
        return (await this.#dialer.dial(this.#caller(from), to, 4)).line.verdict === verdict;
      },
      { intervalMs: 100 },
    );
  }

  async #showLog(): Promise<void> {
    const { without } = this.#user;
    const remark = without === undefined ? "" : `   (${without}: read from the log itself)`;
    print(`\n$ kubectl logs -n podgate-system ${this.#agent} --tail=2${remark}`);
    print((await this.#user.logs("podgate-system", this.#agent, 2)).trimEnd());
  }
}

/** A pod that sleeps. */
function pod(metadata: Pod["metadata"]): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata,
    spec: { containers: [{ name: "app", image: "podgate/lab" }] },
  };
}

function because({ line }: Dialled): string {
  const { policy, rule, reason } = line;
  if (policy === undefined) return reason;
  const which = rule === undefined ? "" : ` rule ${rule.index}`;
  const expression =
    rule?.expression === undefined ? "" : `: ${rule.expression.replaceAll("conn.k8s.pod.", "…")}`;
  return `${policy.namespace}/${policy.name}${which}${reason === "rule" ? "" : ` (${reason})`}${expression}`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

async function main(): Promise<boolean> {
  const started = Date.now();
  const progress = (line: string) =>
    print(`${((Date.now() - started) / 1000).toFixed(1).padStart(6)} s  ${line}`);
  const lab = await startLab({
    name: "demo",
    progress,
    failed: (what, error) => print(`         ${what}: ${error}`),
  });
  const stop = () => void lab.stop().finally(() => process.exit(130));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
  try {
    progress("applying the examples of test/lab/examples");
    for (const file of readdirSync(EXAMPLES).sort())
      await lab.apply(readFileSync(join(EXAMPLES, file), "utf8"));
    progress("waiting for pods and Services");
    await lab.settled();
    progress("starting the agent");
    const agent = await lab.startAgent();
    await lab.runUnannounced(pod({ namespace: "payments", name: "unannounced", uid: randomUUID() }));
    progress("ready: dialling");
    return await new Demo(lab, agent, await User.of(lab)).run();
  } finally {
    await lab.stop();
  }
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  console.error(`demo: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
