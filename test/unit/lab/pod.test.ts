/** What the lab's kubelet reads from a pod's spec: its program, its cgroup, its status. */
import { describe, expect, test } from "vitest";
import { AddressPool } from "../../lab/addresses.ts";
import type { Container, Pod } from "../../lab/kube-objects.ts";
import { cgroup2Mount, labNames } from "../../lab/names.ts";
import { podCgroup, qosClass } from "../../lab/pod-cgroup.ts";
import { containerProgram } from "../../lab/program.ts";

function pod(container: Partial<Container> = {}, annotations: Record<string, string> = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "cart", namespace: "shop", uid: "1b2c-3d4e", annotations, labels: { "a/b": "c" } },
    spec: { nodeName: "n", containers: [{ name: "main", ...container }] },
  };
}

const FACTS = { podIps: ["192.0.2.7", "2001:db8::7"], hostIp: "192.0.2.10" };
const program = (container: Partial<Container>) =>
  containerProgram(pod(container), { name: "main", ...container }, FACTS);

describe("a container's program", () => {
  test.each<[string, Partial<Container>, string[]]>([
    ["is its command with its arguments", { command: ["a", "b"], args: ["c"] }, ["a", "b", "c"]],
    ["is its arguments where it has no command", { args: ["sleep", "1"] }, ["sleep", "1"]],
    ["sleeps where it has neither, nor ports", {}, ["sleep", "infinity"]],
    ["does not run options of a program that is not there", { args: ["-text=hi"] }, ["sleep", "infinity"]],
  ])("%s", (_, container, argv) => {
    expect(program(container).argv).toEqual(argv);
  });

  test("answers on its ports where it has no command", () => {
    const { argv } = program({ ports: [{ containerPort: 80 }, { containerPort: 53, protocol: "UDP" }] });
    expect(argv.slice(2)).toEqual(["shop/cart", "80/TCP", "53/UDP"]);
    expect(argv[1]).toMatch(/echo\.ts$/);
  });

  test("has variables expanded in order, unknown ones left alone and doubled dollars taken as text", () => {
    const env = [
      { name: "A", value: "1" },
      { name: "B", value: "$(A)$(C)$$(A)" },
    ];
    const { argv, env: set } = program({ command: ["echo", "$(B)", "$(NONE)"], env });
    expect(set.B).toBe("1$(C)$(A)");
    expect(argv).toEqual(["echo", "1$(C)$(A)", "$(NONE)"]);
  });

  test("reads the pod's fields, and refuses what the lab does not know", () => {
    const fields = {
      NAME: "metadata.name",
      IPS: "status.podIPs",
      LABEL: "metadata.labels['a/b']",
      NODE: "spec.nodeName",
    };
    const env = Object.entries(fields).map(([name, fieldPath]) => ({
      name,
      valueFrom: { fieldRef: { fieldPath } },
    }));
    expect(program({ env }).env).toMatchObject({
      NAME: "cart",
      IPS: "192.0.2.7,2001:db8::7",
      LABEL: "c",
      NODE: "n",
    });
    const unknown = [{ name: "X", valueFrom: { fieldRef: { fieldPath: "spec.secret" } } }];
    expect(() => program({ env: unknown })).toThrow("read spec.secret of a pod");
    expect(() => program({ env: [{ name: "X", valueFrom: {} }] })).toThrow("give it a value");
  });
});

const limits = { cpu: "1", memory: "1Gi" };

describe("a pod's cgroup", () => {
  test.each<[string, Partial<Container>, string, string]>([
    [
      "BestEffort",
      {},
      "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1b2c_3d4e.slice",
      "kubepods/besteffort/pod1b2c-3d4e",
    ],
    [
      "Burstable",
      { resources: { limits: { cpu: "1" } } },
      "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1b2c_3d4e.slice",
      "kubepods/burstable/pod1b2c-3d4e",
    ],
    [
      "Burstable",
      { resources: { limits, requests: { cpu: "500m" } } },
      "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1b2c_3d4e.slice",
      "kubepods/burstable/pod1b2c-3d4e",
    ],
    [
      "Guaranteed",
      { resources: { limits } },
      "kubepods.slice/kubepods-pod1b2c_3d4e.slice",
      "kubepods/pod1b2c-3d4e",
    ],
  ])("of class %s is where kubelet puts it (%j)", (qos, container, systemd, cgroupfs) => {
    expect(qosClass(pod(container))).toBe(qos);
    expect(podCgroup(pod(container), "systemd")).toBe(systemd);
    expect(podCgroup(pod(container), "cgroupfs")).toBe(cgroupfs);
  });

  test("of a static pod is named by its hash", () => {
    const mirror = pod({}, { "kubernetes.io/config.hash": "abc123" });
    expect(podCgroup(mirror, "cgroupfs")).toBe("kubepods/besteffort/podabc123");
  });
});

describe("addresses", () => {
  test("are not given out again while others are free", () => {
    const pool = new AddressPool();
    const first = pool.take("a");
    pool.release("a");
    expect(pool.take("b")).not.toEqual(first);
  });

  test("that a pod asks for are refused while another has them", () => {
    const pool = new AddressPool();
    expect(pool.take("a", "10.244.1.7")).toEqual({ ipv4: "10.244.1.7", ipv6: "fd00:10:244::107" });
    expect(() => pool.take("b", "10.244.1.7")).toThrow("pod a still has it");
    pool.release("a");
    expect(pool.take("b", "10.244.1.7").ipv4).toBe("10.244.1.7");
    expect(() => pool.take("c", "192.0.2.1")).toThrow("10.244.0.0/16");
  });
});

describe("a lab's name", () => {
  test("is one that only a lab can have, since its directories are removed", () => {
    expect(labNames("e2e-1", "/cg").cgroup).toBe("/cg/podgate-lab-e2e-1");
    expect(labNames(undefined, "/cg").runDir).toBe("/run/podgate-lab");
    for (const name of ["../x", "", "a/b", "UP", "a--b", "a".repeat(40)]) {
      expect(() => labNames(name, "/cg")).toThrow("name a lab");
    }
  });

  test("leads to cgroup v2 wherever it is mounted", () => {
    const unified = "35 25 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
    const hybrid =
      "31 25 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n42 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";
    expect(cgroup2Mount(unified)).toBe("/sys/fs/cgroup");
    expect(cgroup2Mount(hybrid)).toBe("/sys/fs/cgroup/unified");
    expect(() => cgroup2Mount("31 25 0:28 / /x rw - tmpfs tmpfs rw")).toThrow(
      "no cgroup2 file system is mounted",
    );
  });
});
