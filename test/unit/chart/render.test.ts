import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { proxyOptions } from "../../../agent/cli/proxy-options.ts";
import { levels } from "../../../agent/verdict/log.ts";
import { chartFile, chartFolder, helm, helmMissing, type Manifest, manifests, render } from "./helm.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const skipped = helmMissing();

/** Everything the agent may do in the API. A rule that is not here needs a reason, and then a line here. */
const allowedRules = [
  "watch core/pods",
  "watch core/nodes",
  "watch core/namespaces",
  "watch core/services",
  "watch discovery.k8s.io/endpointslices",
  "watch gateway.networking.k8s.io/referencegrants",
  "watch ngrok.k8s.ngrok.com/agentendpoints",
  "watch ngrok.k8s.ngrok.com/cloudendpoints",
  "watch ngrok.k8s.ngrok.com/ngroktrafficpolicies",
  "watch podgate.dev/connectionpolicies",
  "report ngrok.k8s.ngrok.com/agentendpoints/status",
  "report ngrok.k8s.ngrok.com/cloudendpoints/status",
  "report podgate.dev/connectionpolicies/status",
];
const verbSets: Record<string, string> = { "get,list,watch": "watch", update: "report" };

function rulesOf(role: Manifest): string[] {
  return role.rules.flatMap((rule: Manifest) => {
    const verbs = verbSets[rule.verbs.join(",")] ?? `verbs ${rule.verbs.join(",")}`;
    return rule.apiGroups.flatMap((group: string) =>
      rule.resources.map((resource: string) => `${verbs} ${group === "" ? "core" : group}/${resource}`),
    );
  });
}

function daemonSet(...args: string[]): Manifest {
  return manifests(render("podgate", ...args)).find((manifest) => manifest.kind === "DaemonSet");
}

describe.skipIf(skipped !== undefined)(
  `the chart, rendered by helm${skipped === undefined ? "" : ` (skipped: ${skipped})`}`,
  () => {
    test("helm lint has nothing to say, warnings included", () => {
      const result = helm("lint", "--strict", chartFolder);
      expect(result.stdout + result.stderr).toContain("0 chart(s) failed");
      expect(result.status).toBe(0);
    });

    test.each([
      ["the default values", "podgate", "default", []],
      ["every value set", "podgate", "every-value", ["--values", here("values/every-value.yaml")]],
      ["every value about the proxy set", "podgate", "proxy", ["--values", here("values/proxy.yaml")]],
      ["a digest and another release name", "prod", "by-digest", ["--values", here("values/by-digest.yaml")]],
    ])("%s render as the golden file says", (_, release, name, args) => {
      const file = here(`golden/${name}.yaml`);
      const rendered = render(release, ...args);
      if (process.env.UPDATE_GOLDEN === "1") writeFileSync(file, rendered);
      expect(rendered).toBe(readFileSync(file, "utf8"));
    });

    test.each([
      ["a log level that does not exist", ["--set", "logLevel=loud"], "logLevel"],
      ["a key that does not exist", ["--set", "loglevel=debug"], "loglevel is not allowed"],
      ["a nested key that does not exist", ["--set", "image.name=x"], "image"],
      ["an identity mode that does not exist", ["--set", "hostNetworkIdentity=ip"], "hostNetworkIdentity"],
      ["a namespace that cannot be one", ["--set", "trustedNamespaces={Not_One}"], "trustedNamespaces"],
      ["a relative pin path", ["--set", "hostPaths.pins=pins"], "hostPaths.pins"],
      ["a time without a unit", ["--set-string", "proxy.idleTimeout=5"], "proxy.idleTimeout"],
      ["a cap that is no number", ["--set", "proxy.connections.inAll=many"], "proxy.connections.inAll"],
      ["a port that does not exist", ["--set", "metrics.port=65536"], "metrics.port"],
      ["a digest that is not one", ["--set", "image.digest=latest"], "image.digest"],
    ])("%s is refused, and the message names it", (_, args, name) => {
      const result = helm("template", "podgate", chartFolder, ...args);
      expect(result.status).not.toBe(0);
      expect(result.stderr).toContain(name);
    });

    test("no container is privileged, and the agent's has no SYS_ADMIN: that is the broker's", () => {
      const { containers, initContainers } = daemonSet().spec.template.spec;
      const confined = (...add: string[]) => ({
        privileged: false,
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        runAsUser: 0,
        runAsGroup: 0,
        seccompProfile: { type: "RuntimeDefault" },
        capabilities: { drop: ["ALL"], add },
      });
      expect(initContainers).toBeUndefined();
      const contexts = containers.map(({ name, securityContext }: Manifest) => [name, securityContext]);
      expect(contexts).toEqual([
        ["agent", confined("BPF", "NET_ADMIN", "PERFMON")],
        ["socket-broker", confined("NET_ADMIN", "SYS_ADMIN", "SYS_PTRACE")],
      ]);
    });

    test("only the agent has a token for the API", () => {
      const { automountServiceAccountToken, containers, volumes } = daemonSet().spec.template.spec;
      expect(automountServiceAccountToken).toBe(false);
      const [{ name }] = volumes.filter((volume: Manifest) => volume.projected !== undefined);
      const holders = containers.filter(({ volumeMounts }: Manifest) =>
        volumeMounts.some((mount: Manifest) => mount.name === name),
      );
      expect(holders.map((container: Manifest) => container.name)).toEqual(["agent"]);
      const [{ mountPath }] = holders[0].volumeMounts.filter((mount: Manifest) => mount.name === name);
      expect(mountPath).toBe("/var/run/secrets/kubernetes.io/serviceaccount");
    });

    test("without the proxy there is no broker, and the agent is not told of one", () => {
      const { containers, volumes } = daemonSet("--set", "proxy.enabled=false").spec.template.spec;
      expect(containers.map(({ name }: Manifest) => name)).toEqual(["agent"]);
      expect(JSON.stringify({ containers, volumes })).not.toContain("broker");
    });

    test("of the node only the pins and the state directory are writable, to the agent alone", () => {
      const { containers, volumes } = daemonSet().spec.template.spec;
      const writable = containers.map(({ volumeMounts }: Manifest) =>
        volumeMounts
          .filter((mount: Manifest) => mount.readOnly !== true)
          .map((mount: Manifest) => volumes.find((v: Manifest) => v.name === mount.name).hostPath?.path)
          .filter((path: string | undefined) => path !== undefined),
      );
      expect(writable).toEqual([["/sys/fs/bpf/podgate", "/run/podgate"], []]);
    });

    test("the agent is told to keep its pins and state where the node's directories are mounted", () => {
      const [agent] = daemonSet().spec.template.spec.containers;
      const mountPaths = agent.volumeMounts.map((mount: Manifest) => mount.mountPath);
      const flags = agent.args.filter((arg: string) => /^--(pin-path|state-dir)=/.test(arg));
      expect(flags).toHaveLength(2);
      for (const flag of flags) expect(mountPaths).toContain(flag.split("=")[1]);
    });

    test("agent and broker meet at a socket in a volume that both have, and nobody else", () => {
      const [agent, broker] = daemonSet().spec.template.spec.containers;
      const socket = (args: string[], flag: string) =>
        args.find((arg) => arg.startsWith(`${flag}=`))?.slice(flag.length + 1);
      expect(socket(broker.args, "--socket")).toBe("/podgate/broker/socket");
      expect(socket(agent.args, "--broker-socket")).toBe("/podgate/broker/socket");
      for (const { volumeMounts } of [agent, broker])
        expect(volumeMounts).toContainEqual({ name: "broker", mountPath: "/podgate/broker" });
    });

    test("every flag that a container is given is one it knows", () => {
      for (const { args } of daemonSet().spec.template.spec.containers) {
        const [subcommand, ...flags] = args;
        const main = here("../../../agent/main.ts");
        const help = spawnSync(process.execPath, [main, subcommand, "--help"], { encoding: "utf8" });
        expect(help.stdout).toContain(`Usage: podgate ${subcommand}`);
        for (const flag of flags) expect(help.stdout).toContain(`${flag.split("=")[0]} <`);
      }
    });

    test("without a word about them, times and caps of the proxy are the agent's own defaults", () => {
      const [agent] = daemonSet().spec.template.spec.containers;
      const flags = ["--broker-socket", "--agent-down-after", "--connect-timeout", "--tls-handshake-timeout"];
      const values: Manifest = Object.fromEntries(agent.args.slice(1).map((arg: string) => arg.split("=")));
      const parsed = proxyOptions().map((option) => {
        const value = values[option.long ?? ""];
        return [option.long, option.parseArg === undefined ? undefined : option.parseArg(value, undefined)];
      });
      expect(parsed.map(([flag]) => flag)).toEqual(expect.arrayContaining(flags));
      expect(parsed).toEqual(proxyOptions().map((option) => [option.long, option.defaultValue]));
    });

    test("metrics are off unless asked for, and then at the node's own address, of either family", () => {
      const [silent] = daemonSet().spec.template.spec.containers;
      expect(JSON.stringify(silent)).not.toMatch(/metrics|NODE_IP/);
      const [agent, broker] = daemonSet("--set", "metrics.enabled=true").spec.template.spec.containers;
      expect(agent.args).toContain("--metrics-address=[$(NODE_IP)]:9474");
      expect(agent.ports).toEqual([{ name: "metrics", containerPort: 9474, protocol: "TCP" }]);
      expect(agent.env).toContainEqual({
        name: "NODE_IP",
        valueFrom: { fieldRef: { fieldPath: "status.hostIP" } },
      });
      expect(JSON.stringify(broker)).not.toMatch(/metrics|NODE_IP/);
    });

    test("the ClusterRole is exactly the allow-list: no secrets, no pod is written", () => {
      const role = manifests(render("podgate")).find((manifest) => manifest.kind === "ClusterRole");
      expect(rulesOf(role)).toEqual(allowedRules);
    });

    test("the release's own namespace is trusted once, whatever the list says", () => {
      const trusted = (...args: string[]) =>
        daemonSet(...args).spec.template.spec.containers[0].args.find((arg: string) =>
          arg.startsWith("--trusted"),
        );
      expect(trusted("--set", "trustedNamespaces={a,podgate-system}")).toBe(
        "--trusted-namespaces=a,podgate-system",
      );
      expect(trusted("--values", here("values/by-digest.yaml"))).toBe("--trusted-namespaces=podgate-system");
    });

    test("an installation brings the four custom resources, and an existing cluster can leave them out", () => {
      const kinds = (text: string) =>
        manifests(text).filter((m) => m.kind === "CustomResourceDefinition").length;
      expect(kinds(render("podgate", "--include-crds"))).toBe(4);
      expect(kinds(render("podgate"))).toBe(0);
    });
  },
);

test("the log levels of the values are the agent's", () => {
  expect(chartFile("values.schema.json").properties.logLevel.enum).toEqual([...levels]);
});

test("chart, app and package carry one version", () => {
  const chart = chartFile("Chart.yaml");
  const { version } = JSON.parse(readFileSync(here("../../../package.json"), "utf8"));
  expect([chart.version, chart.appVersion]).toEqual([version, version]);
});
