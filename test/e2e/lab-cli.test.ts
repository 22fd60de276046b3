/** `npm run lab`, as people use it: up, exec, status, down, and what is left after a crash. */
import { type SpawnSyncReturns, spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { leftovers } from "../lab/cleanup.ts";
import { liveOwner } from "../lab/lock.ts";
import { labNames } from "../lab/names.ts";
import { until } from "../lab/until.ts";
import { kubectlObstacle, obstacle } from "./rig.ts";

const ROOT = join(import.meta.dirname, "../..");
const FIXTURE = join(import.meta.dirname, "fixtures/lab.yaml");
const POLICY = join(import.meta.dirname, "fixtures/lab-policy.yaml");
const NAME = `podgate-lab-cli-${process.pid}`;

function lab(...args: string[]): SpawnSyncReturns<string> {
  const argv = [join(ROOT, "test/lab/main.ts"), "--name", NAME, ...args];
  return spawnSync(process.execPath, argv, { encoding: "utf8", timeout: 60_000 });
}

function up(...files: string[]): SpawnSyncReturns<string> {
  const outcome = lab("up", "--no-agent", ...files);
  expect(outcome, outcome.stderr).toMatchObject({ status: 0 });
  return outcome;
}

/** Everything on the machine that carries the lab's name: files, mounts, cgroups, processes. */
function traces(): string[] {
  const processes = readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((pid) => {
      try {
        // An orphan that has ended waits for init to look at it; nothing of it is left but its number.
        if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))) return [];
        const text =
          readFileSync(`/proc/${pid}/cmdline`, "utf8") + readFileSync(`/proc/${pid}/cgroup`, "utf8");
        return text.includes(NAME) ? [`process ${pid}: ${text}`] : [];
      } catch {
        return [];
      }
    });
  return [...leftovers(labNames(NAME)), ...processes];
}

/** Every network namespace that a process or a mount holds. */
function namespaces(): string[] {
  return spawnSync("lsns", ["-t", "net", "-n", "-o", "NS"], { encoding: "utf8" })
    .stdout.trim()
    .split(/\s+/)
    .sort();
}

describe.skipIf(obstacle() !== undefined)("npm run lab", () => {
  afterEach(() => {
    lab("down");
    expect(traces()).toEqual([]);
  });

  test("up starts in the background and names what to try; exec passes the exit status on; down leaves nothing", () => {
    const before = namespaces();
    const { stdout } = up(FIXTURE);
    // The node's and two pods'; by number, since other programs make namespaces too.
    const { nodeNetns, podDir } = labNames(NAME);
    const record = (pod: string) =>
      JSON.parse(readFileSync(join(podDir, `${pod}.json`), "utf8")) as { netns: string };
    const paths = [nodeNetns, record("shop/cart").netns, record("payments/ledger").netns];
    const own = paths.map((path) => String(statSync(path).ino));
    expect(own.filter((id) => namespaces().includes(id) && !before.includes(id))).toHaveLength(3);
    expect(stdout).toContain(`export KUBECONFIG=/run/${NAME}/kubeconfig`);
    expect(stdout).toContain("3 of 3 pods ready");
    expect(stdout).toContain(`${NAME} runs 3 pods and no agent. `);
    const tries = stdout.split("Try:\n")[1]?.trim().split("\n") ?? [];
    expect(tries).toHaveLength(3);
    const dial = lab("exec", "shop/cart", "--", "curl", "-sS", "-m", "5", "http://ledger.payments");
    expect(dial).toMatchObject({ status: 0, stdout: expect.stringMatching(/^payments\/ledger /) });
    expect(lab("exec", "shop/cart", "--", "sh", "-c", "exit 42").status).toBe(42);
    expect(lab("exec", "shop/cart", "--", "sh", "-c", "kill -9 $$").status).toBe(137);
    const place = lab("exec", "shop/cart", "--", "sh", "-c", "pwd; env");
    expect(place.stdout).toMatch(/^\/\n/);
    expect(place.stdout).not.toContain("OLDPWD");
    expect(lab("exec", "-c", "main", "shop/cart", "ls", "--version").status).toBe(0);
    expect(lab("status")).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/shop\/cart +Running +1\/1 +10\.244\./),
    });
    expect(traces()).not.toEqual([]);
    expect(lab("down")).toMatchObject({ status: 0, stdout: `${NAME} is gone\n` });
    expect(traces()).toEqual([]);
    expect(own.filter((id) => namespaces().includes(id))).toEqual([]);
  });

  test("what up proposes to try works", () => {
    const { stdout } = up(FIXTURE);
    const [dial = ""] = stdout.split("Try:\n")[1]?.trim().split("\n") ?? [];
    const words = dial.split(" ").slice("npm run lab -- --name NAME".split(" ").length);
    expect(lab(...words)).toMatchObject({ status: 0, stdout: expect.stringMatching(/^payments\/ledger /) });
  });

  test("up starts the agent, whose verdicts are its log, and a crash with the agent leaves nothing either", async () => {
    const outcome = lab("up", FIXTURE, POLICY);
    expect(outcome, outcome.stderr).toMatchObject({ status: 0 });
    expect(outcome.stdout).toContain(`${NAME} runs 3 pods and the agent. `);
    const program = ["curl", "-sS", "-m", "5", "http://ledger.payments"];
    await until("the policy to be enforced", () => lab("exec", "shop/cart", "--", ...program).status === 7);
    expect(lab("exec", "payments/ledger", "--", ...program).status).toBe(0);
    const agent = lab("status").stdout.match(/podgate-system\/(\S+)/)?.[1];
    const { url = "" } = liveOwner(labNames(NAME)) ?? {};
    const log = async () =>
      (await fetch(`${url}/api/v1/namespaces/podgate-system/pods/${agent}/log?container=agent`)).text();
    await until("the verdict", async () => /"verdict":"deny".*"name":"cart"/.test(await log()));
    process.kill(liveOwner(labNames(NAME))?.pid ?? 0, "SIGKILL");
    expect(lab("down").status).toBe(0);
    expect(traces()).toEqual([]);
  });

  test("an up that is interrupted takes back what it began", async () => {
    const argv = [join(ROOT, "test/lab/main.ts"), "--name", NAME, "up", "--no-agent"];
    const starting = spawn(process.execPath, argv, { stdio: "ignore" });
    await until("the lab to begin", () => traces().some((trace) => trace.startsWith("mount")));
    starting.kill("SIGKILL");
    await until("the lab to be gone", () => traces().length === 0);
  });

  test("errors say what is wrong and what there is", () => {
    expect(lab("exec", "shop/cart", "--", "true")).toMatchObject({
      status: 1,
      stderr: expect.stringContaining("does not run: start it with `up`"),
    });
    expect(lab("up", "/no/such/file.yaml")).toMatchObject({
      status: 1,
      stderr: "lab: read /no/such/file.yaml: no such file or directory\n",
    });
    expect(lab("status")).toMatchObject({ status: 3, stdout: `${NAME} does not run\n` });
    up(FIXTURE);
    expect(lab("exec", "shop/nobody", "--", "true")).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(
        /find pod shop\/nobody: .* running pods: payments\/ledger, shop\/cart, shop\/node-program/,
      ),
    });
    expect(lab("exec", "cart", "--", "true").stderr).toContain("write NAMESPACE/POD");
    expect(lab("--help").stdout).toContain("npm run lab -- up shop.yaml");
  });

  test("who is not root learns that in one line, and reads nothing of a lab", () => {
    up();
    const { runDir, ownerFile, kubeconfig } = labNames(NAME);
    const modes = [runDir, ownerFile, kubeconfig].map((path) => statSync(path).mode & 0o777);
    expect(modes).toEqual([0o700, 0o600, 0o600]);
    // A user namespace, and not another uid: that one could not read a project below /root.
    const unprivileged = (script: string, ...args: string[]) =>
      spawnSync("unshare", ["--user", "--map-user=1000", process.execPath, join(ROOT, script), ...args], {
        encoding: "utf8",
        timeout: 60_000,
      });
    const refusal = "needs root; run it with sudo\n";
    for (const args of [["up"], ["exec", "shop/cart", "--", "true"], ["status"], ["down"]]) {
      const outcome = unprivileged("test/lab/main.ts", "--name", NAME, ...args);
      expect(outcome).toMatchObject({ status: 1, stdout: "", stderr: `lab: ${args[0]}: ${refusal}` });
    }
    for (const script of ["demo", "bench"]) {
      const outcome = unprivileged(`test/${script}/${script}.ts`);
      expect(outcome).toMatchObject({ status: 1, stderr: `${script}: start a lab: ${refusal}` });
    }
  });

  test("a second up adds to the lab that runs", () => {
    up();
    const { pid } = liveOwner(labNames(NAME)) ?? {};
    expect(up(FIXTURE).stdout).toContain("runs already");
    expect(liveOwner(labNames(NAME))?.pid).toBe(pid);
    expect(lab("exec", "shop/cart", "--", "true").status).toBe(0);
    expect(lab("up", "--no-agent", "--cgroup-driver", "cgroupfs")).toMatchObject({
      status: 1,
      stderr: `lab: ${NAME} runs already, without --cgroup-driver=cgroupfs: end it with \`down\` to start it so\n`,
    });
  });

  test("after kill -9 of its process, down cleans up, and so does the next up", () => {
    for (const next of ["down", "up"]) {
      up(FIXTURE);
      process.kill(liveOwner(labNames(NAME))?.pid ?? 0, "SIGKILL");
      expect(traces()).not.toEqual([]);
      expect(lab("exec", "shop/cart", "--", "true").stderr).toContain("has crashed");
      const remains =
        /^podgate-lab-cli-\d+ crashed and left 2 directories and \d+ mounts; `up` or `down` removes them\n$/;
      expect(lab("status")).toMatchObject({ status: 3, stdout: expect.stringMatching(remains) });
      if (next === "down") {
        expect(lab("down").status).toBe(0);
        expect(traces()).toEqual([]);
      } else {
        expect(up(FIXTURE).stdout).toContain("removing what an earlier");
        expect(
          lab("exec", "shop/cart", "--", "curl", "-sS", "-m", "5", "http://ledger.payments").status,
        ).toBe(0);
      }
    }
  });

  test.skipIf(kubectlObstacle() !== undefined)(
    "a pod applied later with kubectl starts, and one deleted stops",
    () => {
      up();
      const kubectl = (input: string, ...args: string[]) => {
        const env = { ...process.env, KUBECONFIG: labNames(NAME).kubeconfig };
        const outcome = spawnSync("kubectl", args, { encoding: "utf8", env, input });
        expect(outcome, outcome.stderr).toMatchObject({ status: 0 });
        return outcome.stdout;
      };
      kubectl("", "create", "namespace", "payments");
      kubectl("", "create", "namespace", "shop");
      kubectl("", "apply", "-f", FIXTURE);
      kubectl("", "wait", "--for=condition=Ready", "pods", "--all", "-A", "--timeout=20s");
      const dial = () =>
        lab("exec", "shop/cart", "--", "curl", "-sS", "-m", "5", "http://ledger.payments").status;
      expect(dial()).toBe(0);
      kubectl("", "delete", "pod", "-n", "payments", "ledger");
      expect(dial()).toBe(7);
      expect(lab("exec", "payments/ledger", "--", "true").stderr).toContain("does not run");
    },
  );
});
