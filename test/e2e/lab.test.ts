/** The lab itself: pods, addresses, Services, cgroups and life cycles as a Kubernetes node has them. */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { leftovers } from "../lab/cleanup.ts";
import { must, run } from "../lab/command.ts";
import type { Pod } from "../lab/kube-objects.ts";
import { type Lab, startLab } from "../lab/lab.ts";
import { labNames } from "../lab/names.ts";
import { kubectlObstacle, obstacle } from "./rig.ts";

const FIXTURE = readFileSync(join(import.meta.dirname, "fixtures/lab.yaml"), "utf8");

/** The first line of what curl prints, or its exit status. */
async function dial(lab: Lab, from: string, url: string): Promise<string | number> {
  const [namespace = "", name = ""] = from.split("/");
  const { status, stdout } = await lab.pod(namespace, name).exec(["curl", "-sS", "-m", "5", url]);
  return status === 0 ? stdout.trim() : status;
}

function podYaml(name: string, spec: object, metadata: object = {}): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "shop", ...metadata },
    spec: { containers: [{ name: "main", image: "none", ...spec }] },
  });
}

function podStatus(lab: Lab, namespace: string, name: string) {
  return (lab.api.store.find("pods", namespace, name) as Pod | undefined)?.status;
}

describe.skipIf(obstacle() !== undefined)("a lab with the systemd driver", () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await startLab({ name: `test-${process.pid}` });
    await lab.apply(FIXTURE);
    await lab.settled();
  });

  afterAll(async () => {
    await lab?.stop();
    if (lab !== undefined) expect(leftovers(lab.names)).toEqual([]);
  });

  const clusterIp = (family: 0 | 1) => {
    const service = lab.api.store.get("services", "payments", "ledger") as unknown as {
      spec: { clusterIPs: string[] };
    };
    return service.spec.clusterIPs[family] ?? "";
  };

  test("two pods talk over their own addresses, and the server sees the client's", async () => {
    const { ipv4, ipv6 } = lab.pod("payments", "ledger");
    const cart = lab.pod("shop", "cart");
    expect(await dial(lab, "shop/cart", `http://${ipv4}:8080`)).toBe(`payments/ledger ${cart.ipv4}`);
    expect(await dial(lab, "shop/cart", `http://[${ipv6}]:8080`)).toBe(`payments/ledger ${cart.ipv6}`);
  });

  test("a Service's address keeps the client's source address, IPv4 and IPv6, named and numeric target port", async () => {
    const cart = lab.pod("shop", "cart");
    expect(await dial(lab, "shop/cart", `http://${clusterIp(0)}`)).toBe(`payments/ledger ${cart.ipv4}`);
    expect(await dial(lab, "shop/cart", `http://[${clusterIp(1)}]`)).toBe(`payments/ledger ${cart.ipv6}`);
    expect(await dial(lab, "shop/cart", `http://${clusterIp(0)}:9000`)).toBe(`payments/ledger ${cart.ipv4}`);
  });

  test("the echo program answers every line", async () => {
    const cart = lab.pod("shop", "cart");
    const script = `exec 3<>/dev/tcp/${clusterIp(0)}/9000; printf 'a\\nb\\n' >&3; head -2 <&3`;
    const { stdout } = await cart.exec(["bash", "-c", script]);
    expect(stdout).toBe(`payments/ledger ${cart.ipv4}\n`.repeat(2));
  });

  test.each([
    "192.0.2.10",
    "[2001:db8::10]",
    "169.254.1.1",
  ])("a node port answers a pod on %s", async (address) => {
    const { ipv4, ipv6 } = lab.pod("shop", "cart");
    const source = address.startsWith("[") ? ipv6 : ipv4;
    expect(await dial(lab, "shop/cart", `http://${address}:30080`)).toBe(`payments/ledger ${source}`);
  });

  test.each([
    "192.0.2.10:30080",
    "[2001:db8::10]:30080",
    "127.0.0.1:30080",
  ])("a program of the node reaches the node port on %s", async (address) => {
    const answer = await dial(lab, "shop/node-program", `http://${address}`);
    expect(answer).toBe(`payments/ledger ${address.startsWith("[") ? "2001:db8::10" : "192.0.2.10"}`);
  });

  test.each([
    "203.0.113.7",
    "198.51.100.1",
    "[2001:db8:1b::1]",
  ])("external and load balancer address %s leads to the Service", async (address) => {
    expect(await dial(lab, "shop/cart", `http://${address}`)).toMatch(/^payments\/ledger /);
    expect(await dial(lab, "shop/node-program", `http://${address}`)).toMatch(/^payments\/ledger /);
  });

  test("a pod reaches itself through its own Service", async () => {
    expect(await dial(lab, "payments/ledger", `http://${clusterIp(0)}`)).toBe("payments/ledger 192.0.2.10");
    expect(await dial(lab, "payments/ledger", `http://[${clusterIp(1)}]`)).toBe(
      "payments/ledger 2001:db8::10",
    );
  });

  test("pods know Services by name", async () => {
    const { ipv6 } = lab.pod("shop", "cart");
    const names = ["ledger.payments", "ledger.payments.svc.cluster.local"];
    for (const name of names) {
      expect(await dial(lab, "shop/cart", `http://${name}`)).toMatch(`payments/ledger ${ipv6}`);
    }
    expect(await dial(lab, "payments/ledger", "http://ledger")).toMatch(/^payments\/ledger /);
  });

  test("the pod of a namespace that comes after the Services knows them too", async () => {
    await lab.apply(podYaml("newcomer", {}, { namespace: "later" }));
    await lab.settled();
    expect(await dial(lab, "later/newcomer", "http://ledger.payments")).toMatch(/^payments\/ledger /);
    await lab.deletePod("later", "newcomer");
  });

  test("a Service without a ready backend, and an address nobody has, refuse at once", async () => {
    const started = Date.now();
    for (const from of ["shop/cart", "shop/node-program"]) {
      const deserted = lab.api.store.get("services", "payments", "deserted") as unknown as {
        spec: { clusterIP: string };
      };
      expect(await dial(lab, from, `http://${deserted.spec.clusterIP}`)).toBe(7);
      expect(await dial(lab, from, "http://192.0.2.99")).toBe(7);
    }
    expect(Date.now() - started).toBeLessThan(3_000);
  });

  test("a Service leads only to pods that are ready", async () => {
    const yaml = podYaml(
      "spare",
      { ports: [{ containerPort: 8080, name: "http" }] },
      {
        namespace: "payments",
        labels: { app: "ledger" },
        annotations: { "lab.podgate.dev/ready": "false" },
      },
    );
    await lab.apply(yaml);
    await lab.settled();
    const answers = async () => {
      const { stdout } = await lab
        .pod("shop", "cart")
        .exec(`for i in $(seq 20); do curl -sS -m 5 http://${clusterIp(0)}; done`);
      return new Set(
        stdout
          .trim()
          .split("\n")
          .map((line) => line.split(" ")[0]),
      );
    };
    expect(await answers()).toEqual(new Set(["payments/ledger"]));
    const slices = lab.api.store.list("endpointslices.discovery.k8s.io", "payments");
    const endpoints = JSON.stringify(slices);
    expect(endpoints).toContain('"ready":false,"serving":false,"terminating":false');
    await lab.apply(yaml.replace('"false"', '"true"'));
    await lab.settled();
    expect(await answers()).toEqual(new Set(["payments/ledger", "payments/spare"]));
    await lab.deletePod("payments", "spare");
    await lab.settled();
    expect(await answers()).toEqual(new Set(["payments/ledger"]));
  });

  test("programs run in the cgroup that kubelet's systemd driver makes, from their first instruction", async () => {
    const ledger = lab.pod("payments", "ledger");
    const slice = `kubepods-burstable-pod${ledger.uid.replaceAll("-", "_")}.slice`;
    expect(ledger.cgroup).toBe(join(lab.names.cgroup, "kubepods.slice/kubepods-burstable.slice", slice));
    const shape = new RegExp(
      `^0::/${lab.names.name}/kubepods\\.slice/kubepods-burstable\\.slice/${slice}/cri-containerd-[0-9a-f]{64}\\.scope$`,
      "m",
    );
    expect((await ledger.exec("cat /proc/self/cgroup")).stdout).toMatch(shape);
    const [pid = ""] = readFileSync(join(ledger.containerCgroup(), "cgroup.procs"), "utf8").split("\n");
    expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toMatch(shape);
    expect(statSync(`/proc/${pid}/ns/net`).ino).toBe(statSync(ledger.netns).ino);
  });

  test("a hostNetwork pod has the node's addresses and network and a cgroup of its own", async () => {
    const pod = lab.pod("shop", "node-program");
    expect([pod.ipv4, pod.ipv6]).toEqual(["192.0.2.10", "2001:db8::10"]);
    expect(pod.netns).toBe(lab.names.nodeNetns);
    expect((await pod.exec("cat /proc/self/cgroup")).stdout).toContain(pod.uid.replaceAll("-", "_"));
    expect(podStatus(lab, "shop", "node-program")?.podIPs).toEqual([
      { ip: "192.0.2.10" },
      { ip: "2001:db8::10" },
    ]);
  });

  test("the API server answers on the same address inside the node and outside", async () => {
    expect(await dial(lab, "shop/node-program", `${lab.api.url}/healthz`)).toBe("ok");
    expect(await dial(lab, "shop/cart", `${lab.api.url}/healthz`)).toBe(7);
    expect(await (await fetch(`${lab.api.url}/healthz`)).text()).toBe("ok");
  });

  test("a program's exit status, signal, input and output are passed on", async () => {
    const cart = lab.pod("shop", "cart");
    expect(await cart.exec("echo out; echo err >&2; exit 42")).toEqual({
      status: 42,
      stdout: "out\n",
      stderr: "err\n",
    });
    expect((await cart.exec("kill -TERM $$")).status).toBe(143);
    expect((await cart.exec(["cat"], { input: "typed" })).stdout).toBe("typed");
    expect((await cart.exec(["no-such-program"])).status).toBe(127);
    expect((await cart.exec(["printf", "%s", "a b'c"])).stdout).toBe("a b'c");
  });

  test("a pod sees neither the lab's namespaces nor its pins", async () => {
    const { stdout } = await lab.pod("shop", "cart").exec("cat /proc/self/mountinfo");
    expect(stdout).not.toContain(lab.names.namespaceDir);
    expect(stdout).not.toContain(lab.names.pinDir);
  });

  test("command, arguments, variables and working directory are the spec's", async () => {
    await lab.apply(
      podYaml("spec", {
        command: [
          "sh",
          "-c",
          'echo "$0 $GREETING $MY_IP $PWD" "$@"; exec sleep 60',
          "$(WHO)",
          "$$(WHO)",
          "$(NOBODY)",
        ],
        workingDir: "/usr",
        env: [
          { name: "WHO", value: "me" },
          { name: "GREETING", value: "hello-$(WHO)" },
          { name: "MY_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
        ],
      }),
    );
    await lab.settled();
    const line = await lab.waitFor("its line", () =>
      lab.log("shop", "spec").then((text) => text !== "" && text),
    );
    expect(line).toBe(`me hello-me ${lab.pod("shop", "spec").ipv4} /usr $(WHO) $(NOBODY)\n`);
    await lab.deletePod("shop", "spec");
  });

  test("a pod that completes says Succeeded, keeps its address in its status and leaves the node", async () => {
    const run = (name: string, command: string) =>
      lab.apply(
        podYaml(name, { command: ["sh", "-c", command] }).replace(
          '"containers"',
          '"restartPolicy":"Never","containers"',
        ),
      );
    await run("job", "echo done");
    await run("bad-job", "exit 3");
    for (const name of ["job", "bad-job"]) {
      const ended = () => ["Succeeded", "Failed"].includes(podStatus(lab, "shop", name)?.phase ?? "");
      await lab.waitFor(`pod ${name} to complete`, ended);
    }
    const status = podStatus(lab, "shop", "job");
    expect(status?.phase).toBe("Succeeded");
    expect(status?.podIP).toMatch(/^10\.244\./);
    expect(await lab.log("shop", "job")).toBe("done\n");
    const bad = podStatus(lab, "shop", "bad-job");
    expect(bad?.phase).toBe("Failed");
    expect(bad?.containerStatuses?.[0]?.state.terminated?.exitCode).toBe(3);
    expect(() => lab.pod("shop", "job")).toThrow(/does not run; running pods: .*shop\/cart/);
    const uid = (lab.api.store.get("pods", "shop", "job") as unknown as Pod).metadata.uid ?? "";
    expect(existsSync(join(lab.names.namespaceDir, `${uid}.net`))).toBe(false);
    await lab.delete({ apiVersion: "v1", kind: "Pod", metadata: { name: "job", namespace: "shop" } });
    await lab.delete({ apiVersion: "v1", kind: "Pod", metadata: { name: "bad-job", namespace: "shop" } });
  });

  test("a container that ends is restarted, and init containers run first and in order", async () => {
    const count = join(lab.names.runDir, "count");
    const pod = JSON.parse(podYaml("restarts", { command: ["sh", "-c", `echo main >> ${count}; exit 1`] }));
    pod.spec.initContainers = ["one", "two"].map((name) => ({
      name,
      image: "none",
      command: ["sh", "-c", `echo ${name} >> ${count}`],
    }));
    await lab.apply([pod]);
    const order = /^one\ntwo\nmain\nmain\nmain\n/;
    await lab.waitFor("two restarts", () => existsSync(count) && order.test(readFileSync(count, "utf8")));
    expect(podStatus(lab, "shop", "restarts")?.containerStatuses?.[0]?.restartCount).toBeGreaterThanOrEqual(
      1,
    );
    await lab.deletePod("shop", "restarts");
  });

  test("a deleted pod gets SIGTERM, then SIGKILL when its grace period is over, and is gone with all it had", async () => {
    const script = "trap 'echo asked' TERM; echo up; while :; do sleep 0.05; done";
    await lab.apply(podYaml("stubborn", { command: ["sh", "-c", script] }));
    await lab.settled();
    await lab.waitFor("the trap", async () => (await lab.log("shop", "stubborn")).includes("up"));
    const { netns, cgroup } = lab.pod("shop", "stubborn");
    const logs: string[] = [];
    const watching = setInterval(
      () => void lab.log("shop", "stubborn").then((text) => text && logs.push(text)),
      20,
    );
    const started = Date.now();
    await lab.deletePod("shop", "stubborn", { gracePeriodSeconds: 1 });
    clearInterval(watching);
    expect(Date.now() - started).toBeGreaterThan(900);
    expect(Date.now() - started).toBeLessThan(5_000);
    expect(logs.at(-1)).toContain("asked");
    expect([existsSync(netns), existsSync(cgroup)]).toEqual([false, false]);
  });

  test("the lab's controllers survive an API server that resets, forgets and fails", async () => {
    const { faults } = lab.api;
    const names = ["reset", "forgotten", "failed"];
    faults.resetWatches();
    await lab.apply(podYaml("reset", {}));
    await lab.settled();
    faults.compact();
    faults.expireWatches();
    await lab.apply(podYaml("forgotten", {}));
    await lab.settled();
    const fault = faults.respond(
      { resource: "pods", verb: ["list", "patch", "create"], namespace: "shop" },
      500,
      { times: 2 },
    );
    faults.closeWatches();
    lab.api.store.create("pods", JSON.parse(podYaml("failed", {})));
    await lab.settled();
    expect(fault.hits).toBeGreaterThan(0);
    for (const name of names) expect((await lab.pod("shop", name).exec("true")).status).toBe(0);
    for (const name of names) await lab.deletePod("shop", name);
  });

  test("a UDP Service leads to its pod", async () => {
    await lab.apply(
      podYaml("clock", { ports: [{ containerPort: 5353, protocol: "UDP" }] }, { labels: { app: "clock" } }),
    );
    await lab.apply(
      `{apiVersion: v1, kind: Service, metadata: {name: clock, namespace: shop}, spec: {selector: {app: clock}, ports: [{port: 53, targetPort: 5353, protocol: UDP}]}}`,
    );
    await lab.settled();
    const ask =
      "exec 3<>/dev/udp/clock/53; for try in 1 2 3 4 5; do echo hi >&3; timeout 1 head -1 <&3 && break; done";
    const { stdout } = await lab.pod("shop", "cart").exec(["bash", "-c", ask]);
    expect(stdout).toBe(`shop/clock ${lab.pod("shop", "cart").ipv4}\n`);
  });

  test("a pod may ask for an address, and gets it when its last owner has ended", async () => {
    const wanted = { annotations: { "lab.podgate.dev/ip": "10.244.9.9" } };
    await lab.apply(podYaml("first", {}, wanted));
    await lab.settled();
    expect([lab.pod("shop", "first").ipv4, lab.pod("shop", "first").ipv6]).toEqual([
      "10.244.9.9",
      "fd00:10:244::909",
    ]);
    await lab.apply(podYaml("second", {}, wanted));
    await lab.waitFor("the refusal", () =>
      JSON.stringify(podStatus(lab, "shop", "second") ?? "").includes("still has it"),
    );
    await lab.deletePod("shop", "first");
    await lab.settled();
    expect(lab.pod("shop", "second").ipv4).toBe("10.244.9.9");
    await lab.deletePod("shop", "second");
  });

  test("a pod can run before the API server knows it, and outlive its object", async () => {
    const uid = "11111111-2222-4333-8444-555555555555";
    const pod = JSON.parse(podYaml("early", {}, { uid })) as Pod;
    const early = await lab.runUnannounced(pod);
    expect((await early.exec("cat /proc/self/cgroup")).stdout).toContain(uid.replaceAll("-", "_"));
    expect(lab.api.store.find("pods", "shop", "early")).toBeUndefined();
    lab.api.store.create("pods", pod as never, { uid });
    await lab.settled();
    expect(podStatus(lab, "shop", "early")?.podIP).toBe(early.ipv4);
    const release = lab.kubelet.keep(uid);
    await lab.client.delete("/api/v1/namespaces/shop/pods/early", { gracePeriodSeconds: 0 });
    expect((await early.exec("true")).status).toBe(0);
    release();
    await lab.waitFor("the pod to end", () => !existsSync(early.cgroup));
  });

  test.skipIf(kubectlObstacle() !== undefined)(
    "kubectl exec, attach and port-forward say what there is in their place",
    async () => {
      const env = { ...process.env, KUBECONFIG: lab.kubeconfigPath };
      for (const args of [
        ["exec", "cart", "--", "true"],
        ["attach", "cart"],
        ["port-forward", "cart", "0:80"],
      ]) {
        const { status, stderr } = await run(["kubectl", "-n", "shop", ...args], { env, timeoutMs: 10_000 });
        expect(status, args[0]).toBe(1);
        expect(stderr).toContain("the lab has no exec; use: npm run lab -- exec NS/POD -- COMMAND");
      }
    },
  );

  test.skipIf(kubectlObstacle() !== undefined)(
    "kubectl applies, watches, reads logs of and deletes a pod",
    async () => {
      const kubectl = (args: string[], input?: string) => {
        const env = { ...process.env, KUBECONFIG: lab.kubeconfigPath };
        return must(["kubectl", ...args], { env, ...(input === undefined ? {} : { input }) });
      };
      const yaml = podYaml("late", { command: ["sh", "-c", "echo first; sleep 0.3; echo last; sleep 60"] });
      await kubectl(["apply", "-f", "-"], yaml);
      await kubectl(["wait", "--for=condition=Ready", "-n", "shop", "pod/late", "--timeout=10s"]);
      const follow = kubectl(["logs", "-n", "shop", "late", "-f"]);
      await lab.waitFor("both lines", async () => (await lab.log("shop", "late")).includes("last"));
      expect(await kubectl(["get", "pod", "-n", "shop", "late", "-o", "wide"])).toContain(
        lab.pod("shop", "late").ipv4,
      );
      expect(await kubectl(["logs", "-n", "shop", "late", "--tail=1"])).toBe("last\n");
      await kubectl(["delete", "pod", "-n", "shop", "late"]);
      expect(await follow).toBe("first\nlast\n");
      expect(() => lab.pod("shop", "late")).toThrow(/does not run/);
    },
  );
});

describe.skipIf(obstacle() !== undefined)("a lab with the cgroupfs driver", () => {
  test("has kubelet's cgroupfs layout for every QoS class and for static pods, and runs beside another lab", async () => {
    const lab = await startLab({ name: `test-cgroupfs-${process.pid}`, driver: "cgroupfs" });
    try {
      const amounts = { cpu: "1", memory: "1Gi" };
      await lab.apply(podYaml("best-effort", {}));
      await lab.apply(podYaml("burstable", { resources: { requests: { cpu: "1" } } }));
      await lab.apply(podYaml("guaranteed", { resources: { limits: amounts, requests: amounts } }));
      const hash = "0123456789abcdef0123456789abcdef";
      await lab.apply(podYaml("static", {}, { annotations: { "kubernetes.io/config.hash": hash } }));
      await lab.settled();
      const shape = async (name: string) => {
        const pod = lab.pod("shop", name);
        const { stdout } = await pod.exec("grep ^0:: /proc/self/cgroup");
        return stdout
          .trim()
          .replace(pod.uid, "UID")
          .replace(/[0-9a-f]{64}/, "ID");
      };
      const root = `0::/${lab.names.name}/kubepods`;
      expect(await shape("best-effort")).toBe(`${root}/besteffort/podUID/ID`);
      expect(await shape("burstable")).toBe(`${root}/burstable/podUID/ID`);
      expect(await shape("guaranteed")).toBe(`${root}/podUID/ID`);
      expect(await shape("static")).toBe(`${root}/besteffort/pod${hash}/ID`);
      expect(lab.cgroupRoot).toBe(join(lab.names.cgroup, "kubepods"));
    } finally {
      await lab.stop();
    }
    expect(leftovers(lab.names)).toEqual([]);
  });

  test("removes labs of other names whose process has died, and none that runs", async () => {
    const [dead, alive] = [labNames(`dead-${process.pid}`), await startLab({ name: `alive-${process.pid}` })];
    const program = `const { startLab } = await import(${JSON.stringify(join(import.meta.dirname, "../lab/lab.ts"))});
      const lab = await startLab({ name: ${JSON.stringify(dead.name)} });
      await lab.apply(${JSON.stringify(podYaml("cart", {}))});
      await lab.settled();
      process.kill(process.pid, "SIGKILL");`;
    try {
      await run([process.execPath, "--input-type=module", "-e", program]);
      expect(leftovers(dead)).not.toEqual([]);
      await (await startLab({ name: `next-${process.pid}` })).stop();
      expect(leftovers(dead)).toEqual([]);
      await alive.apply(podYaml("cart", {}));
      await alive.settled();
      expect((await alive.pod("shop", "cart").exec("true")).status).toBe(0);
      await expect(startLab({ name: alive.names.name })).rejects.toThrow(
        `process ${process.pid} runs it already`,
      );
    } finally {
      await alive.stop();
    }
  });

  test("touches no nftables table, route, link or setting of the machine", async () => {
    const machine = () =>
      [
        "nft list tables",
        "ip -o link",
        "ip route",
        "ip -6 route",
        "sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding",
      ]
        .map((command) => spawnSync("sh", ["-c", command], { encoding: "utf8" }).stdout)
        .join("");
    const before = machine();
    const lab = await startLab({ name: `test-quiet-${process.pid}` });
    try {
      await lab.apply(FIXTURE);
      await lab.settled();
      expect(machine()).toBe(before);
    } finally {
      await lab.stop();
    }
    expect(machine()).toBe(before);
  });
});
