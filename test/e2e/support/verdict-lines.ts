/** The agent's log, read as people's tools read it: a JSON object a line. */
import { expect } from "vitest";
import { until } from "../../lab/until.ts";

export interface VerdictLine {
  readonly msg: "verdict";
  readonly level: number;
  readonly time: number;
  readonly verdict: string;
  readonly enforced: boolean;
  readonly reason: string;
  readonly layer: string;
  readonly pod?: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly process?: { readonly pid: number; readonly comm: string };
  readonly destination: { readonly address: string; readonly port: number; readonly service?: string };
  readonly forwarded_to?: VerdictLine["destination"];
  readonly policy?: { readonly kind: string; readonly namespace: string; readonly name: string };
  readonly rule?: { readonly index: number; readonly name?: string; readonly expression?: string };
  readonly error?: string;
  readonly error_code: string;
  readonly audited?: Pick<VerdictLine, "verdict" | "enforced" | "reason" | "policy" | "rule">;
  readonly suppressed?: number;
}

/** Every whole line, parsed. @throws SyntaxError if one is no JSON. */
export function logLines(text: string): Record<string, unknown>[] {
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  return whole
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

export function verdictLines(text: string): VerdictLine[] {
  return logLines(text).filter((line) => line.msg === "verdict") as unknown as VerdictLine[];
}

/** What the line says of a pod's connection to vault/ledger that its first rule came to forbid. */
export function revokedFrom({ namespace, name, uid }: NonNullable<VerdictLine["pod"]>): Partial<VerdictLine> {
  return {
    verdict: "deny",
    enforced: true,
    reason: "revoked",
    pod: { namespace, name, uid },
    destination: expect.objectContaining({ port: 80, service: "vault/ledger" }),
    policy: { kind: "ConnectionPolicy", namespace: "vault", name: "ledger" },
    rule: expect.objectContaining({ index: 0 }),
    error_code: "",
  };
}

/** The line of the dial that had this process name. Every dial has one of its own. */
export function lineOf(
  { comm }: { readonly comm: string },
  readLog: () => string | Promise<string>,
): Promise<VerdictLine> {
  return until(`a verdict of ${JSON.stringify(comm)} in the log`, async () =>
    verdictLines(await readLog()).find(({ process }) => process?.comm === comm),
  );
}
