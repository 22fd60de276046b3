/** Whether a container is ready, told without connecting to it: a probe would show up in what tests count. */
import type { Container, Pod, Probe } from "./kube-objects.ts";
import { listeningPorts } from "./listening.ts";
import { isEcho } from "./program.ts";

/** An annotation on a pod: "false" keeps it from being ready, whatever its containers do. */
export const READY = "lab.podgate.dev/ready";

/** `pid` is undefined while the container does not run, `netns` while the pod has no network. */
export function isReady(
  pod: Pod,
  container: Container,
  pid: number | undefined,
  netns: string | undefined,
): boolean {
  if (pid === undefined || netns === undefined || pod.metadata.annotations?.[READY] === "false") return false;
  const expected = expectedPorts(container);
  if (expected.length === 0) return true;
  const listening = listeningPorts(pid, netns);
  return expected.every((port) => listening.has(port));
}

/** A TCP or HTTP probe is met when somebody listens on its port. */
function expectedPorts(container: Container): number[] {
  const ports = container.ports ?? [];
  if (isEcho(container)) {
    return ports.filter((port) => (port.protocol ?? "TCP") === "TCP").map((port) => port.containerPort);
  }
  const wanted = probedPort(container.readinessProbe);
  const port = typeof wanted === "string" ? ports.find(({ name }) => name === wanted)?.containerPort : wanted;
  return port === undefined ? [] : [port];
}

function probedPort(probe: Probe | undefined): number | string | undefined {
  return probe?.tcpSocket?.port ?? probe?.httpGet?.port;
}
