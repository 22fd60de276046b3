/** Run by cluster.test.ts with --expose-gc: lists 10,000 pods of real size and prints what knowing them costs. */
import { fork } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { Api } from "../../../agent/cluster/api.ts";
import { Cluster } from "../../../agent/cluster/cluster.ts";
import { systemClock } from "../../../agent/model/clock.ts";

const PODS = 10_000;

if (process.send === undefined) await measure();
else serve();

/** In a process of its own, so that its 30 MB are not measured. */
function serve(): void {
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", "http://localhost");
    if (url.searchParams.has("watch")) return void response.writeHead(200).flushHeaders();
    const isPods = url.pathname === "/api/v1/pods";
    const from = Number(url.searchParams.get("continue") ?? 0);
    const to = Math.min(from + Number(url.searchParams.get("limit")), PODS);
    const all = isPods && !url.searchParams.has("fieldSelector");
    const items = all ? Array.from({ length: to - from }, (_, index) => podOf(from + index)) : [];
    const metadata = { resourceVersion: "1", ...(all && to < PODS && { continue: `${to}` }) };
    const body = Buffer.from(JSON.stringify({ metadata, items }));
    if (all) process.send?.({ bytes: body.length });
    response.end(body);
  });
  server.listen(0, "127.0.0.1", () => process.send?.({ port: (server.address() as AddressInfo).port }));
}

async function measure(): Promise<void> {
  const server = fork(fileURLToPath(import.meta.url), { execArgv: [] });
  let listBytes = 0;
  const port = await new Promise<number>((resolve) => {
    server.on("message", (message: { port?: number; bytes?: number }) => {
      if (message.port !== undefined) resolve(message.port);
      listBytes += message.bytes ?? 0;
    });
  });
  const access = {
    server: new URL(`http://127.0.0.1:${port}`),
    options: async () => ({}),
    invalidate: () => {},
  };
  const cluster = new Cluster({
    api: new Api(access, systemClock),
    clock: systemClock,
    nodeName: "node-a",
    log: (_level, message, fields) => console.error(message, fields),
    onChange: () => {},
  });
  collect();
  const before = process.memoryUsage().heapUsed;
  const started = performance.now();
  cluster.start();
  while (!cluster.synced) await systemClock.sleep(20);
  const milliseconds = Math.round(performance.now() - started);
  const pods = cluster.snapshot().pods.length;
  collect();
  const bytes = process.memoryUsage().heapUsed - before;
  console.log(
    JSON.stringify({ pods, bytes, listBytes, milliseconds, last: cluster.snapshot().pods.at(-1)?.ips[0] }),
  );
  await cluster.stop();
  server.kill();
  process.exit();
}

function collect(): void {
  for (let i = 0; i < 4; i++) globalThis.gc?.();
}

function podOf(index: number): object {
  const id = index.toString(16).padStart(12, "0");
  const ip = `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`;
  const container = (name: string) => ({
    name,
    image: `registry.example.com/team-${index % 40}/${name}@sha256:${id.repeat(5)}`,
    env: Array.from({ length: 10 }, (_, i) => ({ name: `VARIABLE_${i}`, value: `value-${i}-of-${id}` })),
    resources: { limits: { cpu: "500m", memory: "512Mi" }, requests: { cpu: "100m", memory: "128Mi" } },
    volumeMounts: [{ name: "token", mountPath: "/var/run/secrets/kubernetes.io/serviceaccount" }],
    terminationMessagePath: "/dev/termination-log",
  });
  return {
    metadata: {
      name: `deployment-${index % 400}-7c9d8f6b5-${id.slice(-5)}`,
      generateName: `deployment-${index % 400}-7c9d8f6b5-`,
      namespace: `namespace-${index % 100}`,
      uid: `0d5c1e9a-1111-4222-8333-${id}`,
      resourceVersion: `${1_000_000 + index}`,
      creationTimestamp: "2026-11-21T10:00:00Z",
      labels: {
        app: `deployment-${index % 400}`,
        "pod-template-hash": "7c9d8f6b5",
        team: `team-${index % 40}`,
      },
      annotations: { "example.com/checksum": id.repeat(5), "k8s.ngrok.com/tenant": `tenant-${index % 40}` },
      managedFields: [
        { manager: "kubelet", operation: "Update", fieldsV1: { "f:status": { [`k:${id}`]: {} } } },
      ],
    },
    spec: {
      nodeName: `node-${index % 500}.example.internal`,
      containers: [container("main"), container("sidecar")],
      tolerations: Array.from({ length: 2 }, () => ({
        key: "node.kubernetes.io/not-ready",
        operator: "Exists",
      })),
    },
    status: {
      phase: "Running",
      podIP: ip,
      podIPs: [{ ip }],
      hostIP: "192.0.2.1",
      conditions: ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map((type) => ({
        type,
        status: "True",
        lastTransitionTime: "2026-11-21T10:00:00Z",
      })),
    },
  };
}
