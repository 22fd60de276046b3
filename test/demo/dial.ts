/** Dials with curl from a pod and finds the agent's verdict line about it. */
import type { Service } from "../lab/kube-objects.ts";
import type { Lab } from "../lab/lab.ts";
import { until } from "../lab/until.ts";

/** A verdict line's fields that the demo shows. */
export interface VerdictLine {
  readonly msg: string;
  readonly verdict: string;
  readonly reason: string;
  readonly pod?: { readonly namespace: string; readonly name: string };
  readonly policy?: { readonly kind: string; readonly namespace: string; readonly name: string };
  readonly rule?: { readonly index: number; readonly expression?: string };
}

export interface Dialled {
  /** What the server answered, or what connect() said. */
  readonly saw: string;
  /** From connect() to its result. */
  readonly microseconds: number;
  readonly line: VerdictLine;
}

export interface Caller {
  exec(command: readonly string[]): Promise<{ readonly stdout: string; readonly stderr: string }>;
}

export class Dialer {
  readonly #lab: Lab;
  readonly #agent: string;

  constructor(lab: Lab, agent: string) {
    this.#lab = lab;
    this.#agent = agent;
  }

  /** `to`: host:port. `family`: 4 or 6. */
  async dial(from: Caller, to: string, family: 4 | 6): Promise<Dialled> {
    const seen = (await this.#verdicts()).length;
    const format = "\\n%{time_namelookup} %{time_connect} %{time_total}";
    const resolve = ["--resolve", `${to}:${await this.#clusterIp(to, family)}`];
    const argv = ["curl", "-sSv", "-m", "5", "-w", format, ...resolve, `http://${to}/`];
    const { stdout, stderr } = await from.exec(argv);
    const text = await until(`a verdict line about ${to}`, async () => (await this.#verdicts()).at(seen));
    const [timing = "", ...body] = stdout.split("\n").reverse();
    return {
      saw: refusal(stderr) ?? body.reverse().join(" ").trim(),
      microseconds: connectTime(timing),
      line: JSON.parse(text) as VerdictLine,
    };
  }

  /** What the cluster's DNS would answer. */
  async #clusterIp(to: string, family: 4 | 6): Promise<string> {
    const [, name, namespace] = /^([^.]+)\.([^:]+):/.exec(to) ?? [];
    const path = `/api/v1/namespaces/${namespace}/services/${name}`;
    const { spec } = await this.#lab.client.get<Service>(path);
    const ip = spec.clusterIPs?.find((candidate) => candidate.includes(":") === (family === 6));
    if (ip === undefined) throw new Error(`dial ${to}: the Service has no IPv${family} address`);
    return family === 6 ? `[${ip}]` : ip;
  }

  async #verdicts(): Promise<string[]> {
    const log = await this.#lab.log("podgate-system", this.#agent);
    return log.split("\n").filter((line) => line.endsWith('"msg":"verdict"}'));
  }
}

/** curl's word for the errno: "Operation not permitted" is EPERM. */
function refusal(stderr: string): string | undefined {
  const [, why] = /(?:connect fail for .*?|connect to .*? failed): (.+)/.exec(stderr) ?? [];
  return why?.trim();
}

/** curl's seconds: name looked up, connected (0 if it never was), all done. */
function connectTime(timing: string): number {
  const [lookedUp = 0, connected = 0, total = 0] = timing.split(" ").map(Number);
  return Math.round(((connected > 0 ? connected : total) - lookedUp) * 1e6);
}
