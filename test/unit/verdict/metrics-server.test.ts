import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { serveMetrics } from "../../../agent/verdict/metrics-server.ts";

const LONG_MS = 15_000;
let port: number;
let served: { close(): void };
let errors: string[];
let page: () => Promise<string>;

const serve = () =>
  serveMetrics(
    { host: "127.0.0.1", port },
    () => page(),
    (error) => errors.push(error.message),
  );

beforeEach(async () => {
  port = await freePort();
  errors = [];
  page = async () => "podgate_x 1\n";
  served = serve();
});

afterEach(() => served.close());

async function freePort(): Promise<number> {
  const probe: Server = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port: found } = probe.address() as { port: number };
  probe.close();
  await once(probe, "close");
  return found;
}

function closed(socket: Socket): Promise<void> {
  socket.on("error", () => {});
  return new Promise((resolve) => socket.on("close", () => resolve()));
}

/** Everything that is answered until the server closes. */
async function say(words: string | Buffer): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  let heard = "";
  socket.on("data", (data) => {
    heard += String(data);
  });
  socket.write(words);
  await closed(socket);
  return heard;
}

const ask = (line: string, more = "") => say(`${line} HTTP/1.1\r\nHost: x\r\n${more}\r\n`);

describe("the metrics' server", () => {
  test("answers GET /metrics, and closes", async () => {
    const heard = await ask("GET /metrics");
    expect(heard).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(heard).toContain("Content-Type: text/plain; version=0.0.4");
    expect(heard).toMatch(/\r\n\r\n(?:[0-9a-f]+\r\n)?podgate_x 1\n/);
  });

  test.each([
    ["GET /", "404 Not Found"],
    ["GET /metrics/", "404 Not Found"],
    ["GET /metricsx", "404 Not Found"],
    ["GET //metrics", "404 Not Found"],
    ["GET http://other/metrics", "404 Not Found"],
    ["GET /debug/pprof", "404 Not Found"],
    ["POST /quitquitquit", "404 Not Found"],
    ["POST /metrics", "405 Method Not Allowed"],
    ["HEAD /metrics", "405 Method Not Allowed"],
    ["PUT /metrics", "405 Method Not Allowed"],
    ["DELETE /metrics", "405 Method Not Allowed"],
    ["OPTIONS /metrics", "405 Method Not Allowed"],
    ["TRACE /metrics", "405 Method Not Allowed"],
  ])("says no more to %s than %s", async (line, status) => {
    const heard = await ask(line);
    expect(heard).toMatch(new RegExp(`^HTTP/1\\.1 ${status}\\r\\n`));
    expect(heard).not.toContain("podgate");
  });

  test.each([
    ["a body", "Content-Length: 1\r\n", /^HTTP\/1\.1 413 /],
    ["a body of unknown length", "Transfer-Encoding: chunked\r\n", /^HTTP\/1\.1 413 /],
    ["a body it would have to ask for", "Content-Length: 1\r\nExpect: 100-continue\r\n", /^HTTP\/1\.1 413 /],
    ["10 KB of headers", `X: ${"x".repeat(10_000)}\r\n`, /^HTTP\/1\.1 431 /],
    ["5000 headers", "X: y\r\n".repeat(5000), /^HTTP\/1\.1 431 /],
    ["another protocol", "Connection: upgrade\r\nUpgrade: websocket\r\n", /^HTTP\/1\.1 200 /],
  ])("answers who brings %s as it should", async (_, more, answer) => {
    expect(await ask("GET /metrics", more)).toMatch(answer);
  });

  test("takes no CONNECT, and nothing that is not HTTP", async () => {
    expect(await say("CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n")).toBe("");
    expect(await say(Buffer.from("16030100050100000100", "hex"))).toMatch(/^HTTP\/1\.1 400 /);
  });

  test("does not wait for who says nothing or too little, nor has room for many", {
    timeout: LONG_MS,
  }, async () => {
    const sockets = Array.from({ length: 30 }, (_, i) => {
      const socket = connect(
        port,
        "127.0.0.1",
        () => i % 2 === 0 && socket.write("GET /metrics HTTP/1.1\r\n"),
      );
      socket.resume();
      return socket;
    });
    await Promise.all(sockets.map(closed));
    expect(await ask("GET /metrics")).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("has room for one address whatever another does, and for whom comes last of the same", async () => {
    const others = Array.from({ length: 40 }, () =>
      connect({ port, host: "127.0.0.1" }).on("error", () => {}),
    );
    await Promise.all(others.map((socket) => once(socket, "connect")));
    const slow = connect({ port, host: "127.0.0.1", localAddress: "127.0.0.2" });
    slow.write("GET /metrics HTTP/1.1\r\n");
    expect(await ask("GET /metrics")).toMatch(/^HTTP\/1\.1 200 /);
    // And it stays, however many more come.
    for (let more = 0; more < 40; more++)
      await once(
        connect(port, "127.0.0.1").on("error", () => {}),
        "connect",
      );
    expect(await ask("GET /metrics")).toMatch(/^HTTP\/1\.1 200 /);
    let heard = "";
    slow.on("data", (data) => {
      heard += String(data);
    });
    slow.write("Host: x\r\n\r\n");
    await closed(slow);
    expect(heard).toMatch(/^HTTP\/1\.1 200 /);
  });

  test("says that it cannot tell, not why", async () => {
    page = async () => {
      throw new Error("secret");
    };
    const heard = await ask("GET /metrics");
    expect(heard).toMatch(/^HTTP\/1\.1 500 /);
    expect(heard).not.toContain("secret");
  });

  test("tells whoever started it that the address is taken, and nothing breaks", async () => {
    await ask("GET /metrics");
    const second = serve();
    await expect.poll(() => errors).toEqual([expect.stringContaining("EADDRINUSE")]);
    second.close();
  });

  test("is gone when it is closed, even for who is still talking", async () => {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    served.close();
    socket.resume();
    await closed(socket);
    served.close();
  });
});
