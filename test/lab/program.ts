/** What a container runs: command, arguments, environment, as its pod's spec says. */
import { fileURLToPath } from "node:url";
import type { Container, EnvVar, Pod } from "./kube-objects.ts";
import type { Program } from "./launch.ts";

/** What the downward API can tell a container. */
export interface PodFacts {
  readonly podIps: readonly string[];
  readonly hostIp: string;
}

const ECHO = fileURLToPath(new URL("echo.ts", import.meta.url));

export function containerProgram(pod: Pod, container: Container, facts: PodFacts): Program {
  const env = environment(pod, container.env ?? [], facts);
  return {
    argv: commandLine(pod, container).map((word) => expand(word, env)),
    env,
    workingDir: container.workingDir ?? "",
  };
}

/** True if the container has no program of its own and answers on its ports. */
export function isEcho(container: Container): boolean {
  return ownCommand(container) === undefined && (container.ports ?? []).length > 0;
}

function commandLine(pod: Pod, container: Container): string[] {
  const own = ownCommand(container);
  if (own !== undefined) return own;
  if (!isEcho(container)) return ["sleep", "infinity"];
  const ports = (container.ports ?? []).map((port) => `${port.containerPort}/${port.protocol ?? "TCP"}`);
  return [process.execPath, ECHO, `${pod.metadata.namespace}/${pod.metadata.name}`, ...ports];
}

/** There are no images here, so arguments alone are a command line, unless they are options for an image's program. */
function ownCommand({ command = [], args = [] }: Container): string[] | undefined {
  if (command.length > 0) return [...command, ...args];
  return args.length > 0 && args[0]?.startsWith("-") === false ? args : undefined;
}

function environment(pod: Pod, variables: readonly EnvVar[], facts: PodFacts): Record<string, string> {
  const env: Record<string, string> = {
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    HOME: "/root",
    HOSTNAME: pod.spec.hostNetwork ? (pod.spec.nodeName ?? "") : pod.metadata.name,
  };
  for (const { name, value, valueFrom } of variables) {
    const path = valueFrom?.fieldRef?.fieldPath;
    if (valueFrom !== undefined && path === undefined) {
      throw new Error(`set ${name}: the lab reads valueFrom.fieldRef only; give it a value`);
    }
    env[name] = path === undefined ? expand(value ?? "", env) : field(pod, path, facts);
  }
  return env;
}

/** `$(NAME)` stands for a variable set before; `$$(NAME)` for the text itself, and an unknown name is left alone. */
function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replace(/\$(\$|\(([A-Za-z_.-][\w.-]*)\))/g, (whole, dollar: string, name: string) =>
    dollar === "$" ? "$" : (env[name] ?? whole),
  );
}

function field(pod: Pod, path: string, { podIps, hostIp }: PodFacts): string {
  const keyed = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path);
  if (keyed !== null) return pod.metadata[keyed[1] as "labels" | "annotations"]?.[keyed[2] ?? ""] ?? "";
  const fields: Record<string, string> = {
    "metadata.name": pod.metadata.name,
    "metadata.namespace": pod.metadata.namespace ?? "",
    "metadata.uid": pod.metadata.uid ?? "",
    "spec.nodeName": pod.spec.nodeName ?? "",
    "status.podIP": podIps[0] ?? "",
    "status.podIPs": podIps.join(","),
    "status.hostIP": hostIp,
  };
  const found = fields[path];
  if (found === undefined)
    throw new Error(`read ${path} of a pod: the lab knows ${Object.keys(fields).join(", ")}`);
  return found;
}
