/** docs/terminate-tls.md: its commands make what it says. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { must, run } from "../lab/command.ts";

const ROOT = join(import.meta.dirname, "../..");
const PAGE = readFileSync(join(ROOT, "docs/terminate-tls.md"), "utf8");

test("lint has nothing to say about the policy that the page's commands make", async () => {
  const directory = mkdtempSync(join(tmpdir(), "podgate-page-"));
  try {
    const [, script = ""] = /^```sh\n(.*?)^```$/ms.exec(PAGE) ?? [];
    await must(["sh", "-ec", `cd ${directory}\n${script}`]);
    const policy = join(directory, "vault.yaml");
    expect(readFileSync(policy, "utf8")).toContain("                  -----BEGIN PRIVATE KEY-----\n");
    expect(await run([process.execPath, join(ROOT, "agent/main.ts"), "lint", policy])).toMatchObject({
      status: 0,
      stdout: "no errors, no warnings in 1 policy of 1 file\n",
    });
  } finally {
    rmSync(directory, { recursive: true });
  }
});
