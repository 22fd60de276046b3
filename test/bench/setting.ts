/** Where it is measured: a lab with one server, which listens on a port for each condition, and one caller. */
import { program } from "../e2e/support/programs.ts";
import { must } from "../lab/command.ts";
import type { KubeObject, Pod } from "../lab/kube-objects.ts";
import { type Lab, startLab } from "../lab/lab.ts";
import type { PodHandle } from "../lab/pod-handle.ts";

/** The server's ports by what the policies say of them. On `closed` nobody listens. */
export const ports = { open: 8080, byNamespace: 8081, byPod: 8082, denied: 8083, closed: 8084 } as const;
/** Its `peer` for traffic: what connects to the second one has to go through the proxy while an agent runs. */
export const trafficPorts = { direct: 9000, proxied: 9001 } as const;

export const CALLER = {
  namespace: "team-0",
  name: "caller",
  annotations: { "ngrok.com/stage": "production" },
};

export interface Setting {
  readonly lab: Lab;
  readonly caller: PodHandle;
  readonly server: PodHandle;
}

export async function startSetting(progress: (line: string) => void): Promise<Setting> {
  const lab = await startLab({ name: `bench-${process.pid}`, progress });
  try {
    await lab.apply([server(), caller()]);
    await lab.settled();
    // A connection is remembered for 10 s after its reset; tens of thousands a second would fill the node's table.
    const forget = "echo 1 > /proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close";
    await must(lab.inNode(["sh", "-c", forget]));
    return { lab, caller: lab.pod(CALLER.namespace, CALLER.name), server: lab.pod("bench", "server") };
  } catch (error) {
    await lab.stop();
    throw error;
  }
}

function server(): KubeObject {
  const listening = [ports.open, ports.byNamespace, ports.byPod, ports.denied].map(String);
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "server", namespace: "bench", labels: { app: "server" } },
    spec: {
      containers: [
        {
          name: "sink",
          image: "podgate/lab",
          command: ["taskset", "-c", "1", program("sink"), ...listening],
          readinessProbe: { tcpSocket: { port: ports.denied } },
        },
        {
          name: "peer",
          image: "podgate/lab",
          command: [program("peer"), ...Object.values(trafficPorts).map(String)],
          readinessProbe: { tcpSocket: { port: trafficPorts.proxied } },
        },
      ],
    },
  };
  return pod;
}

function caller(): KubeObject {
  const { namespace, name, annotations } = CALLER;
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, annotations },
    spec: { containers: [{ name: "idle", image: "podgate/lab" }] },
  };
  return pod;
}
