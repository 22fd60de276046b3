/** The real agent as a pod of the lab's node: what the chart's DaemonSet would make there. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { NODE_NAME } from "./addresses.ts";
import type { KubeObject, Pod } from "./kube-objects.ts";
import type { CgroupDriver, LabNames } from "./names.ts";
import { kubepodsRoot } from "./pod-cgroup.ts";

export const AGENT_NAMESPACE = "podgate-system";
export const AGENT_MAIN = fileURLToPath(new URL("../../agent/main.ts", import.meta.url));

export interface AgentOptions {
  /** More of its command line. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** A socket broker beside it, and the flag to find it; default: unless `command` is something else. */
  readonly broker?: boolean;
  /** The program and the words before its flags; default: this Node, agent/main.ts, `agent`. */
  readonly command?: readonly string[];
  /** Words before the command lines of agent and broker: of a program that becomes them. */
  readonly under?: readonly string[];
  /** Instead of those before the broker's. */
  readonly brokerUnder?: readonly string[];
  /** A line of its log that says it is ready. */
  readonly readyLine?: RegExp;
}

/** The agent says so once every rule is in the kernel. */
export const READY_LINE = /"msg":"ready\b/;

/** Its namespace and its pod. In the node's network, and so with the machine's mounts: it needs the pins. */
export function agentObjects(
  names: LabNames,
  driver: CgroupDriver,
  options: AgentOptions,
): [KubeObject, Pod] {
  const name = `podgate-${randomBytes(3).toString("hex").slice(0, 5)}`;
  const { under = [], brokerUnder = under } = options;
  const command = options.command ?? [process.execPath, AGENT_MAIN, "agent"];
  const hasBroker = options.broker ?? options.command === undefined;
  const cgroupRoot = join(names.cgroup, kubepodsRoot(driver));
  const flags = {
    kubeconfig: names.kubeconfig,
    "node-name": NODE_NAME,
    "cgroup-root": cgroupRoot,
    "pin-path": names.pinDir,
    "state-dir": names.stateDir,
    ...(hasBroker && { "broker-socket": names.brokerSocket }),
  };
  const args = words(flags);
  const broker = {
    name: "socket-broker",
    image: "podgate",
    command: [...brokerUnder, process.execPath, AGENT_MAIN, "socket-broker"],
    args: words({ socket: names.brokerSocket, "cgroup-root": cgroupRoot }),
  };
  const env = Object.entries(options.env ?? {}).map(([key, value]) => ({ name: key, value }));
  return [
    { apiVersion: "v1", kind: "Namespace", metadata: { name: AGENT_NAMESPACE } },
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name,
        namespace: AGENT_NAMESPACE,
        labels: { "app.kubernetes.io/name": "podgate" },
        annotations: { "kubectl.kubernetes.io/default-container": "agent" },
      },
      spec: {
        hostNetwork: true,
        terminationGracePeriodSeconds: 10,
        containers: [
          {
            name: "agent",
            image: "podgate",
            command: [...under, ...command],
            args: [...args, ...(options.args ?? [])],
            env,
          },
          ...(hasBroker ? [broker] : []),
        ],
      },
    },
  ];
}

function words(flags: Readonly<Record<string, string>>): string[] {
  return Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, value]);
}
