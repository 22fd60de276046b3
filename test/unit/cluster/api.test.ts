/** Requests to the API server: what they carry, how they end, and what their errors say. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, test, vi } from "vitest";
import { type Access, findAccess, inClusterAccess, kubeconfigAccess } from "../../../agent/cluster/access.ts";
import { Api } from "../../../agent/cluster/api.ts";
import { ApiError } from "../../../agent/cluster/api-error.ts";
import { type Clock, systemClock } from "../../../agent/model/clock.ts";
import { certificate, key } from "./certificate.ts";
import { accessTo, atEnd } from "./rig.ts";

async function serve(listener: RequestListener, tls = false): Promise<string> {
  const server = tls ? createTlsServer({ cert: certificate, key }, listener) : createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  atEnd(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http${tls ? "s" : ""}://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const ask = { action: "list pods", path: "/api/v1/pods" };

function api(url: string, timeoutMs?: number): Api {
  return new Api(accessTo(url), systemClock, timeoutMs);
}

async function failure(promise: Promise<unknown>): Promise<ApiError> {
  return promise.then(
    () => {
      throw new Error("it did not fail");
    },
    (error) => error,
  );
}

describe("an answer", () => {
  test("is read whole, zipped or not", async () => {
    const url = await serve((request, response) => {
      const body = Buffer.from('{"items":["ä"]}');
      if (!request.url?.includes("zip")) return void response.end(body);
      expect(request.headers["accept-encoding"]).toBe("gzip");
      response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(body));
    });
    expect(await api(url).json(ask)).toEqual({ items: ["ä"] });
    expect(await api(url).json({ ...ask, query: { zip: "1" } })).toEqual({ items: ["ä"] });
  });

  test("is asked for below the server's own path", async () => {
    const url = await serve((request, response) => void response.end(JSON.stringify(request.url)));
    const query = { fieldSelector: "spec.nodeName=a&b" };
    expect(await api(`${url}/k8s/clusters/c-1/`).json({ ...ask, query })).toBe(
      "/k8s/clusters/c-1/api/v1/pods?fieldSelector=spec.nodeName%3Da%26b",
    );
  });

  test.each([
    [200, "<html>", "list pods: the answer is not JSON: look for a proxy in between"],
    [502, "<html>", "list pods: 502: the API server gave no reason"],
    [
      403,
      "{}",
      "list pods: 403 Forbidden: give who asks (the agent's ServiceAccount, or the kubeconfig's user) list and watch on pods",
    ],
    [
      403,
      '{"reason":"Forbidden","message":"pods is forbidden: User \\"jane\\" cannot list resource \\"pods\\""}',
      "list pods: 403 Forbidden: give jane list and watch on pods",
    ],
    [
      401,
      "{}",
      "list pods: 401 Unauthorized: the API server does not know who asks: check the token or kubeconfig",
    ],
    [
      500,
      '{"reason":"InternalError","message":"etcd is away"}',
      "list pods: 500 InternalError: etcd is away",
    ],
  ])("%i %s: %s", async (status, body, message) => {
    const url = await serve((_request, response) => void response.writeHead(status).end(body));
    expect((await failure(api(url).json(ask))).message).toBe(message);
  });

  test.each([
    [{ "retry-after": "3" }, "{}", 3_000],
    [{ "retry-after": "99999999" }, "{}", 120_000],
    [{ "retry-after": "soon" }, "{}", 0],
    [{}, '{"details":{"retryAfterSeconds":7}}', 7_000],
    [{}, '{"details":{"retryAfterSeconds":"7"}}', 0],
  ])("429 with %j %s asks for %i ms", async (headers, body, ms) => {
    const url = await serve((_request, response) => void response.writeHead(429, headers).end(body));
    const error = await failure(api(url).json(ask));
    expect(error).toBeInstanceOf(ApiError);
    expect(error.retryAfterMs).toBe(ms);
  });

  test("that does not come is not waited for for ever", async () => {
    const url = await serve(() => {});
    const message = "list pods: no answer within 50 ms: check the way to the API server";
    expect((await failure(api(url, 50).json(ask))).message).toBe(message);
    expect(
      (
        await failure(
          api(url, 50).lines(
            ask,
            () => {},
            () => {},
          ),
        )
      ).message,
    ).toBe(message);
  });

  test("that stops halfway is not waited for for ever", async () => {
    const url = await serve((_request, response) => void response.write('{"items":['));
    expect((await failure(api(url, 100).json(ask))).message).toContain("no answer within 100 ms");
  });

  test("is not waited for when the credentials do not come", async () => {
    const hanging: Access = { ...accessTo("http://127.0.0.1:9"), options: () => new Promise(() => {}) };
    expect((await failure(new Api(hanging, systemClock, 50).json(ask))).message).toContain(
      "no answer within",
    );
  });

  test("that nobody gives is an error with its errno", async () => {
    const error = await failure(api("http://127.0.0.1:1").json(ask));
    expect(error.message).toMatch(/^list pods: .*ECONNREFUSED/);
    expect(error).toMatchObject({ code: "ECONNREFUSED" });
  });
});

describe("in a pod", () => {
  async function serviceAccount(token: string) {
    const directory = await mkdtemp(join(tmpdir(), "podgate-"));
    atEnd(() => rm(directory, { recursive: true }));
    const write = (text: string) => writeFile(join(directory, "token"), `${text}\n`);
    await write(token);
    await writeFile(join(directory, "ca.crt"), certificate);
    return { directory, write };
  }

  function environment(url: string) {
    const { hostname, port } = new URL(url);
    return { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port };
  }

  const whoAsks: RequestListener = (request, response) =>
    void response.end(JSON.stringify(request.headers.authorization));

  test("the ServiceAccount's token goes to the server that its certificate authority knows", async () => {
    const url = await serve(whoAsks, true);
    const { directory } = await serviceAccount("one");
    const access = inClusterAccess(systemClock, environment(url), directory);
    expect(await new Api(access, systemClock).json(ask)).toBe("Bearer one");
  });

  test("a server with another certificate gets nothing", async () => {
    let asked = 0;
    const url = await serve(() => asked++, true);
    expect((await failure(api(url).json(ask))).message).toMatch(/^list pods: .*certificate/i);
    expect(asked).toBe(0);
  });

  test("a token that kubelet renewed is read after a minute, and at once after 401", async () => {
    let now = 0;
    const clock: Clock = { ...systemClock, now: () => now };
    let refused = "";
    const url = await serve((request, response) => {
      if (request.headers.authorization === refused) response.writeHead(401);
      whoAsks(request, response);
    }, true);
    const { directory, write } = await serviceAccount("one");
    const client = new Api(inClusterAccess(clock, environment(url), directory), clock);
    expect(await client.json(ask)).toBe("Bearer one");
    await write("two");
    expect(await client.json(ask)).toBe("Bearer one");
    now = 61_000;
    expect(await client.json(ask)).toBe("Bearer two");
    await write("three");
    refused = "Bearer two";
    expect((await failure(client.json(ask))).status).toBe(401);
    expect(await client.json(ask)).toBe("Bearer three");
  });

  test("an IPv6 address of the server is one", () => {
    const env = { KUBERNETES_SERVICE_HOST: "2001:db8::1", KUBERNETES_SERVICE_PORT: "6443" };
    expect(inClusterAccess(systemClock, env).server.href).toBe("https://[2001:db8::1]:6443/");
  });

  test("is where the agent is if nothing else is said", async () => {
    const env = { KUBERNETES_SERVICE_HOST: "192.0.2.1" };
    expect((await findAccess(systemClock, undefined, env)).server.href).toBe("https://192.0.2.1/");
    expect(() => inClusterAccess(systemClock, {})).toThrow("run in a pod or give --kubeconfig");
  });
});

describe("kubeconfig", () => {
  async function kubeconfig(server: string, user: object, cluster: object = {}): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), "podgate-"));
    atEnd(() => rm(directory, { recursive: true }));
    const path = join(directory, "config");
    // JSON is YAML.
    const config = {
      clusters: [{ name: "c", cluster: { server, ...cluster } }],
      users: [{ name: "u", user }],
      contexts: [{ name: "x", context: { cluster: "c", user: "u" } }],
      "current-context": "x",
    };
    await writeFile(path, JSON.stringify(config));
    return path;
  }

  const ca = { "certificate-authority-data": Buffer.from(certificate).toString("base64") };
  const echo: RequestListener = (request, response) =>
    void response.end(JSON.stringify(request.headers.authorization ?? "nobody"));

  test("with a token", async () => {
    const url = await serve(echo, true);
    const access = await kubeconfigAccess(await kubeconfig(url, { token: "secret" }, ca));
    expect(await new Api(access, systemClock).json(ask)).toBe("Bearer secret");
  });

  test("with an exec plugin, asked again when the server refuses what it gave", async () => {
    let valid = "Bearer 1";
    const url = await serve((request, response) => {
      if (request.headers.authorization !== valid) response.writeHead(401);
      echo(request, response);
    }, true);
    const directory = await mkdtemp(join(tmpdir(), "podgate-"));
    atEnd(() => rm(directory, { recursive: true }));
    const counter = join(directory, "count");
    const script = `
      const { appendFileSync, readFileSync } = require("node:fs");
      appendFileSync(${JSON.stringify(counter)}, "x");
      const token = String(readFileSync(${JSON.stringify(counter)}).length);
      console.log(JSON.stringify({ kind: "ExecCredential", status: { token } }));`;
    const exec = {
      apiVersion: "client.authentication.k8s.io/v1",
      command: process.execPath,
      args: ["-e", script],
    };
    const client = new Api(await kubeconfigAccess(await kubeconfig(url, { exec }, ca)), systemClock);
    const together = await Promise.all(Array.from({ length: 5 }, () => client.json(ask)));
    expect(together).toEqual(together.map(() => "Bearer 1"));
    expect(await client.json(ask)).toBe("Bearer 1");
    valid = "Bearer 2";
    expect((await failure(client.json(ask))).status).toBe(401);
    expect(await client.json(ask)).toBe("Bearer 2");
  });

  test("sends no credentials without TLS, as kubectl", async () => {
    const url = await serve(echo);
    const access = await kubeconfigAccess(await kubeconfig(url, { token: "secret" }));
    expect(await new Api(access, systemClock).json(ask)).toBe("nobody");
  });

  test("that cannot be read says which", async () => {
    await expect(kubeconfigAccess("/nonexistent/config")).rejects.toThrow(
      "read kubeconfig /nonexistent/config: ENOENT",
    );
    const path = await kubeconfig("https://192.0.2.1", {});
    await writeFile(path, "clusters: []");
    await expect(kubeconfigAccess(path)).rejects.toThrow("its current context names no cluster");
  });

  test("that is nowhere is asked for, instead of an API server nobody meant", async () => {
    vi.stubEnv("KUBECONFIG", undefined);
    vi.stubEnv("HOME", "/nonexistent");
    await expect(kubeconfigAccess()).rejects.toThrow("there is no kubeconfig: set $KUBECONFIG");
    vi.unstubAllEnvs();
  });
});
