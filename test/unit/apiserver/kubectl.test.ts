/** The real kubectl against the server. What users type in the lab is here. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { findKubectl } from "../../lab/apiserver/kubectl.ts";
import { type ApiServer, startApiServer } from "../../lab/apiserver/server.ts";
import { agentEndpointCrd } from "./crd.ts";

const kubectl = await findKubectl(process.env.KUBECTL || "kubectl");
const required = process.env.PODGATE_CI === "1" || Boolean(process.env.CI);
if (!kubectl.found) console.warn(`kubectl tests ${required ? "fail" : "are skipped"}: ${kubectl.why}`);

let server: ApiServer;
let directory: string;

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function prepare(
  args: readonly string[],
  env: Record<string, string>,
): [string, string[], { env: NodeJS.ProcessEnv }] {
  if (!kubectl.found) throw new Error(kubectl.why);
  const own = ["--kubeconfig", join(directory, "kubeconfig"), "--cache-dir", join(directory, "cache")];
  return [
    kubectl.path,
    [...own, ...args],
    { env: { PATH: process.env.PATH, HOME: directory, TMPDIR: directory, ...env } },
  ];
}

function k(args: string, options: { input?: string; env?: Record<string, string> } = {}): Promise<Outcome> {
  // Words are separated by spaces; a word in single quotes may hold some.
  const words = [...args.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, word]) => quoted ?? word ?? "");
  return new Promise((resolve) => {
    const child = execFile(...prepare(words, options.env ?? {}), (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), out, err });
    });
    child.stdin?.end(options.input ?? "");
  });
}

/** stdout of a command that must succeed. */
async function ok(args: string, options: Parameters<typeof k>[1] = {}): Promise<string> {
  const { code, out, err } = await k(args, options);
  expect(code, `kubectl ${args}\n${out}${err}`).toBe(0);
  return out;
}

const apply = (input: string, flags = "") => ok(`apply ${flags} -f -`, { input });

function start(args: readonly string[]): { child: ChildProcess; until(pattern: RegExp): Promise<void> } {
  const [path, words, options] = prepare(args, {});
  const child = spawn(path, words, options);
  let out = "";
  child.stdout.on("data", (data) => (out += data));
  return {
    child,
    until: async (pattern) => {
      while (!pattern.test(out)) await new Promise((resolve) => setTimeout(resolve, 20));
    },
  };
}

const podYaml = (name: string, extra = "") => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}, labels: {app: web}}
spec:
  nodeName: node-1
  ${extra}
  containers:
    - {name: main, image: "example/main:1", ports: [{containerPort: 80}]}
    - {name: side, image: "example/side:1"}
`;

const serviceYaml = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
`;

const endpointYaml = `
apiVersion: ngrok.k8s.ngrok.com/v1alpha1
kind: AgentEndpoint
metadata: {name: web}
spec:
  url: http://web.default
  bindings: [kubernetes]
  upstream: {url: "http://web:80"}
  trafficPolicy:
    inline:
      on_tcp_connect:
        - expressions: ["conn.k8s.pod.metadata.namespace != 'payments'"]
          actions: [{type: deny}]
`;

async function* logs(container: string, follow: boolean, signal: AbortSignal): AsyncGenerator<string> {
  yield `first line of ${container}\n`;
  for (let line = 1; follow && !signal.aborted && line <= 3; line++) {
    await new Promise((resolve) => setTimeout(resolve, 30));
    yield `followed ${line}\n`;
  }
}

describe.skipIf(!kubectl.found && !required)("kubectl", { timeout: 60_000 }, () => {
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "podgate-kubectl-"));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  beforeEach(async () => {
    server = await startApiServer({
      logs: (_namespace, _pod, container, { follow, signal }) => logs(container, follow, signal),
    });
    await writeFile(join(directory, "kubeconfig"), server.kubeconfig());
    // Another server has another port, and kubectl caches what it finds by host and port.
    await rm(join(directory, "cache"), { recursive: true, force: true });
    return () => server.close();
  });

  test("version and api-resources know the server", async () => {
    expect(await ok("version")).toContain("Server Version: v1.");
    const resources = await ok("api-resources");
    for (const kind of ["Pod", "Service", "EndpointSlice", "ReferenceGrant", "CustomResourceDefinition"]) {
      expect(resources).toMatch(new RegExp(`\\s${kind}\\n`));
    }
  });

  test("apply creates, changes and leaves alone", async () => {
    expect(await apply(podYaml("web"))).toBe("pod/web created\n");
    expect(await apply(podYaml("web"))).toBe("pod/web unchanged\n");
    expect(await apply(podYaml("web").replace("main:1", "main:2"))).toBe("pod/web configured\n");
    expect(await ok("get pod web -o jsonpath={.spec.containers[*].image}")).toBe(
      "example/main:2 example/side:1",
    );
  });

  test("apply takes away what is no longer in the file", async () => {
    await apply(serviceYaml.replace("selector: {app: web}", "selector: {app: web, tier: front}"));
    await apply(serviceYaml);
    const service = JSON.parse(await ok("get service web -o json"));
    expect(service.spec.selector).toEqual({ app: "web" });
    expect(service.spec.ports).toEqual([{ name: "http", port: 80, protocol: "TCP", targetPort: 8080 }]);
    expect(service.spec.clusterIP).toMatch(/^10\.96\./);
  });

  test("apply --server-side creates, changes, and takes away", async () => {
    expect(await apply(serviceYaml, "--server-side")).toBe("service/web serverside-applied\n");
    const more = serviceYaml.replace("ports: [", "ports: [{name: https, port: 443}, ");
    await apply(more, "--server-side");
    expect(await ok("get service web -o jsonpath={.spec.ports[*].port}")).toBe("80 443");
    await apply(serviceYaml, "--server-side");
    expect(await ok("get service web -o jsonpath={.spec.ports[*].port}")).toBe("80");
    const rival = serviceYaml.replace("8080", "9090");
    const refused = await k("apply --server-side --field-manager=rival -f -", { input: rival });
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('conflict with "kubectl"')]);
    await apply(rival, "--server-side --field-manager=rival --force-conflicts");
    expect(await ok("get service web -o jsonpath={.spec.ports[*].targetPort}")).toBe("9090");
  });

  test("a CRD is applied, waited for, used, explained and deleted", async () => {
    await apply(agentEndpointCrd);
    expect(await ok("wait --for=condition=Established crd/agentendpoints.ngrok.k8s.ngrok.com")).toContain(
      "condition met",
    );
    expect(await apply(endpointYaml)).toBe("agentendpoint.ngrok.k8s.ngrok.com/web created\n");
    expect(await apply(endpointYaml)).toContain("unchanged");
    expect(await ok("get aep")).toMatch(/^NAME +URL +ACCEPTED +AGE\nweb +http:\/\/web\.default +\d+s\n$/);
    expect(await ok("get ngrok -o name")).toBe("agentendpoint.ngrok.k8s.ngrok.com/web\n");
    expect(await ok("explain aep.spec")).toContain("Where it listens.");
    expect(await ok("describe aep web")).toContain("conn.k8s.pod.metadata.namespace");
    await ok("delete crd agentendpoints.ngrok.k8s.ngrok.com");
    expect((await k("get aep")).err).toMatch(
      /could not find the requested resource|doesn't have a resource type/,
    );
  });

  test("what a schema does not allow is refused in words that name the field", async () => {
    await apply(agentEndpointCrd);
    const typo = await k("apply -f -", { input: endpointYaml.replace("bindings", "bindngs") });
    expect([typo.code, typo.err]).toEqual([1, expect.stringContaining('unknown field "spec.bindngs"')]);
    const wrong = await k("apply -f -", { input: endpointYaml.replace("[kubernetes]", "[nowhere]") });
    expect(wrong.err).toContain('spec.bindings[0]: Unsupported value: "nowhere"');
    const lenient = await k("apply --validate=warn -f -", {
      input: endpointYaml.replace("bindings", "bindngs"),
    });
    expect([lenient.code, lenient.err]).toEqual([
      0,
      expect.stringContaining('Warning: unknown field "spec.bindngs"'),
    ]);
  });

  test("edit changes with an editor", async () => {
    await apply(agentEndpointCrd);
    await apply(endpointYaml);
    await apply(podYaml("web"));
    const editor = (script: string) => ({ env: { KUBE_EDITOR: `sed -i ${script}` } });
    expect(await ok("edit aep web", editor("s,deny,close-connection,"))).toContain("edited");
    expect(await ok("get aep web -o jsonpath={.spec.trafficPolicy.inline..type}")).toBe("close-connection");
    expect(await ok("edit pod web", editor("s,side:1,side:2,"))).toContain("edited");
    expect(await ok("get pod web -o jsonpath={.spec.containers[*].image}")).toBe(
      "example/main:1 example/side:2",
    );
    const refused = await k("edit pod web", editor("s,nodeName:.*,nodeName:\\\\x20node-2,"));
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('pods "web" is invalid')]);
  });

  test("annotate and label set, overwrite and remove", async () => {
    await apply(podYaml("web"));
    await ok("annotate pod web k8s.ngrok.com/environment=production");
    expect((await k("annotate pod web k8s.ngrok.com/environment=dev")).err).toContain("--overwrite is false");
    await ok("annotate pod web k8s.ngrok.com/environment=dev --overwrite");
    await ok("label pod web tier=front");
    const annotations = "{.metadata.annotations.k8s\\.ngrok\\.com/environment}";
    expect(
      await ok(
        `get pod -l tier=front -o jsonpath={.items[0]..metadata.annotations.k8s\\.ngrok\\.com/environment}`,
      ),
    ).toBe("dev");
    await ok("annotate pod web k8s.ngrok.com/environment-");
    await ok("label pod web tier-");
    expect(await ok(`get pod web -o jsonpath=${annotations}{.metadata.labels}`)).toBe('{"app":"web"}');
  });

  test("patch in its three forms", async () => {
    await apply(serviceYaml);
    await ok(`patch service web -p '{"spec":{"ports":[{"port":80,"targetPort":9090}]}}'`);
    await ok(
      `patch service web --type=json -p '[{"op":"add","path":"/spec/ports/-","value":{"port":443,"name":"https"}}]'`,
    );
    await ok(`patch service web --type=merge -p '{"spec":{"selector":{"tier":"front"}}}'`);
    const { spec } = JSON.parse(await ok("get service web -o json"));
    expect(spec.selector).toEqual({ app: "web", tier: "front" });
    expect(
      spec.ports.map((port: { name: string; targetPort: number }) => [port.name, port.targetPort]),
    ).toEqual([
      ["http", 9090],
      ["https", 443],
    ]);
    await ok(
      `patch service web --subresource=status --type=merge -p '{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.7"}]}}}'`,
    );
    expect(await ok("get service web -o jsonpath={.status.loadBalancer.ingress[0].ip}")).toBe("192.0.2.7");
  });

  test("create makes what it makes without a file", async () => {
    await ok("create namespace team");
    await ok("create configmap settings --from-literal=a=b -n team");
    await ok("create secret generic key --from-literal=k=v -n team");
    await ok("create serviceaccount robot -n team");
    await ok("create service nodeport door --tcp=443:https --node-port=30443 -n team");
    await ok("create service externalname away --external-name=example.com -n team");
    await ok("run web --image=example/web:1 --port=80 -n team");
    await ok("expose pod web -n team --name=front");
    expect(await ok("get configmap settings -n team -o jsonpath={.data.a}")).toBe("b");
    expect(await ok("get secret key -n team -o jsonpath={.data.k}")).toBe("dg==");
    const services = await ok("get service -n team");
    expect(services).toMatch(/door +NodePort +10\.96\.\S+ +<none> +443:30443\/TCP/);
    expect(services).toMatch(/away +ExternalName +<none> +example\.com +<none>/);
    expect(services).toMatch(/front +ClusterIP +10\.96\.\S+ +<none> +80\/TCP/);
  });

  test("get shows the columns people look for", async () => {
    await apply(podYaml("web"));
    await apply(serviceYaml);
    server.store.modify(
      "pods",
      "default",
      "web",
      (pod) => {
        const running = { restartCount: 0, state: { running: {} } };
        pod.status = {
          phase: "Running",
          podIP: "192.0.2.10",
          containerStatuses: [
            { name: "main", ready: true, ...running },
            { name: "side", ready: false, ...running },
          ],
        };
      },
      { subresource: "status" },
    );
    expect(await ok("get pods")).toMatch(
      /^NAME +READY +STATUS +RESTARTS +AGE\nweb +1\/2 +Running +0 +\d+s\n$/,
    );
    expect(await ok("get pods -A -o wide")).toMatch(
      /default +web +1\/2 +Running +0 +\d+s +192\.0\.2\.10 +node-1 /,
    );
    expect(await ok("get all")).toMatch(/pod\/web[\s\S]*service\/web/);
    expect(await ok("get pods --no-headers --sort-by=.metadata.name -l app=web")).toMatch(/^web /);
    expect(await ok("get namespaces")).toMatch(/kube-system +Active/);
    expect(await ok("get pods --field-selector spec.nodeName=elsewhere")).toBe("");
  });

  test("get -w follows changes", async () => {
    await apply(podYaml("web"));
    const watching = start(["get", "pods", "-w"]);
    await watching.until(/web +0\/2 +Pending/);
    await apply(podYaml("late"));
    await watching.until(/late +0\/2 +Pending/);
    watching.child.kill();
  });

  test("describe shows pod, service and node with their events", async () => {
    server.store.create("nodes", {
      metadata: { name: "node-1" },
      status: {
        addresses: [{ type: "InternalIP", address: "192.0.2.1" }],
        nodeInfo: { kubeletVersion: "v1.32.0" },
      },
    });
    await apply(podYaml("web"));
    await apply(serviceYaml);
    const { uid } = server.store.get("pods", "default", "web").metadata;
    server.store.create("events", {
      metadata: { name: "web.1" },
      involvedObject: { kind: "Pod", namespace: "default", name: "web", uid },
      type: "Normal",
      reason: "Started",
      message: "Started container main",
      lastTimestamp: new Date().toISOString(),
    });
    server.store.create("endpointslices.discovery.k8s.io", {
      metadata: { name: "web-1", labels: { "kubernetes.io/service-name": "web" } },
      addressType: "IPv4",
      endpoints: [{ addresses: ["192.0.2.10"], conditions: { ready: true } }],
      ports: [{ name: "http", port: 8080, protocol: "TCP" }],
    });
    expect(await ok("describe pod web")).toMatch(
      /Node: +node-1\/[\s\S]*Events:[\s\S]*Started container main/,
    );
    const service = await ok("describe service web");
    expect(service).toMatch(/Selector: +app=web/);
    // Before 1.31 kubectl read Endpoints, which the server does not have.
    if (kubectl.found && Number(/v1\.(\d+)/.exec(kubectl.version)?.[1]) >= 31) {
      expect(service).toMatch(/Endpoints: +192\.0\.2\.10:8080/);
    }
    expect(await ok("describe node node-1")).toMatch(/InternalIP: +192\.0\.2\.1[\s\S]*default +web/);
    expect(await ok("get events")).toMatch(/Normal +Started +pod\/web +Started container main/);
    expect(await ok("get nodes -o wide")).toMatch(/node-1 +Unknown +<none> +\d+s +v1\.32\.0 +192\.0\.2\.1/);
    expect(await ok("get endpointslices")).toMatch(/web-1 +IPv4 +8080 +192\.0\.2\.10/);
  });

  test("delete waits for the kubelet, --force does not", async () => {
    await apply(podYaml("slow"));
    const deleting = ok("delete pod slow");
    while (server.store.get("pods", "default", "slow").metadata.deletionTimestamp === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(await ok("get pod slow")).toContain("Terminating");
    server.store.delete("pods", "default", "slow", { gracePeriodSeconds: 0 });
    expect(await deleting).toContain('pod "slow" deleted');
    await apply(podYaml("stuck"));
    await ok("delete pod stuck --force --grace-period=0");
    expect(server.store.find("pods", "default", "stuck")).toBeUndefined();
  });

  test("delete takes a namespace with all that is in it", async () => {
    await ok("create namespace team");
    await ok("create configmap settings -n team --from-literal=a=b");
    expect(await ok("delete namespace team")).toContain('namespace "team" deleted');
    expect((await k("get namespace team")).err).toContain('namespaces "team" not found');
  });

  test("wait for a condition, a value and a deletion", async () => {
    await apply(podYaml("web"));
    const ready = ok("wait --for=condition=Ready pod/web --timeout=20s");
    const running = ok("wait --for=jsonpath={.status.phase}=Running pod/web --timeout=20s");
    await new Promise((resolve) => setTimeout(resolve, 400));
    server.store.modify(
      "pods",
      "default",
      "web",
      (pod) => {
        pod.status = { phase: "Running", conditions: [{ type: "Ready", status: "True" }] };
      },
      { subresource: "status" },
    );
    expect([await ready, await running]).toEqual(["pod/web condition met\n", "pod/web condition met\n"]);
    const gone = ok("wait --for=delete pod/web --timeout=20s");
    await new Promise((resolve) => setTimeout(resolve, 400));
    server.store.delete("pods", "default", "web", { gracePeriodSeconds: 0 });
    expect(await gone).toContain("condition met");
  });

  test("logs prints what is there, -f what comes", async () => {
    await apply(podYaml("web"));
    expect(await ok("logs web -c main")).toBe("first line of main\n");
    expect(await ok("logs -f web -c side")).toBe("first line of side\nfollowed 1\nfollowed 2\nfollowed 3\n");
    expect((await k("logs web -c nothing")).err).toContain("container nothing is not valid for pod web");
    expect((await k("logs nobody")).err).toContain('pods "nobody" not found');
  });

  test("replace and diff work", async () => {
    await apply(serviceYaml);
    const diff = await k("diff -f -", { input: serviceYaml.replace("8080", "9090") });
    expect([diff.code, diff.out]).toEqual([1, expect.stringContaining("+    targetPort: 9090")]);
    expect(await ok("replace -f -", { input: serviceYaml.replace("8080", "9090") })).toContain("replaced");
    expect(await ok("get service web -o jsonpath={.spec.ports[0].targetPort}")).toBe("9090");
  });
});
