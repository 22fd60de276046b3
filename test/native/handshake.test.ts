/** TLS on real sockets: application <-> client, where it ends, and upstream <-> server, where it is plain. */
import { X509Certificate } from "node:crypto";
import { readdirSync } from "node:fs";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { beforeAll, describe, expect, it } from "vitest";
import { loadNative } from "../../agent/dataplane/native.ts";
import { PrivateKey, type TlsSettings } from "../../agent/model/tls.ts";
import { type Secured, shakingHands } from "../../agent/proxy/handshake.ts";
import { makePair } from "../e2e/support/certificates.ts";
import { obstacle } from "./scratch.ts";
import { fateOf, loadTcp, socketOf, textOf, until } from "./tcp.ts";

const own = makePair({ subject: "/CN=own" });
const shakeHands = shakingHands(loadNative());
const settings: TlsSettings = {
  minVersion: "1.2",
  maxVersion: "1.3",
  certificate: own.certificate,
  key: new PrivateKey(own.key),
  authorities: [],
  clients: "ignore",
};
const descriptors = () => readdirSync("/proc/self/fd").length;

describe.skipIf(obstacle())("terminated TLS", () => {
  let tcp: ReturnType<typeof loadTcp>;
  beforeAll(() => {
    tcp = loadTcp();
  });

  function secure(application: number, options: ConnectionOptions = {}): TLSSocket {
    const socket = connect({ socket: socketOf(application), rejectUnauthorized: false, ...options });
    // Node's own clients end when the other side does, unless told otherwise.
    socket.allowHalfOpen = true;
    socket.on("error", () => {});
    return socket;
  }

  const shake = (
    client: number,
    timeoutMs = 5000,
    signal = new AbortController().signal,
    wanted = settings,
  ): Promise<Secured> => shakeHands(client, wanted, { timeoutMs, signal });

  interface Joined {
    readonly application: TLSSocket;
    readonly server: Socket;
    readonly stop: () => void;
    readonly end: Promise<void>;
  }

  async function joined({
    idleMs = 0,
    options = {},
  }: {
    idleMs?: number;
    options?: ConnectionOptions;
  } = {}): Promise<Joined> {
    const [near, client] = tcp.pair();
    const [far, upstream] = tcp.pair();
    const application = secure(near, options);
    const { end: client_ } = await shake(client);
    const { promise: end, resolve } = Promise.withResolvers<void>();
    return { application, server: socketOf(far), stop: client_.join(upstream, { idleMs }, resolve), end };
  }

  it.each([
    "TLSv1.2",
    "TLSv1.3",
  ] as const)("passes the end of each side on, the application's first: %s", async (version) => {
    const { application, server, end } = await joined({
      options: { minVersion: version, maxVersion: version },
    });
    application.end("what is the answer?");
    expect(await textOf(server)).toBe("what is the answer?");
    server.end("forty-two");
    expect(await textOf(application)).toBe("forty-two");
    await end;
  });

  it("passes the end of each side on, the server's first", async () => {
    const { application, server, end } = await joined();
    server.end("enough of me");
    expect(await textOf(application)).toBe("enough of me");
    application.end("and of me");
    expect(await textOf(server)).toBe("and of me");
    await end;
  });

  it("loses nothing of what a server says before it goes, however slowly it is read", async () => {
    const { application, server, end } = await joined();
    const sent = 20 << 20;
    server.end(Buffer.alloc(sent, "x"));
    let heard = 0;
    for await (const piece of application) {
      heard += (piece as Buffer).length;
      if (heard < 2 << 20) await sleep(2);
    }
    application.end();
    await end;
    expect(heard).toBe(sent);
  });

  it("keeps little of what nobody reads", async () => {
    const { application, server, stop, end } = await joined();
    application.write(Buffer.alloc(64 << 20));
    await sleep(300);
    const before = application.writableLength;
    await sleep(300);
    // What the sockets between them hold is the kernel's to say; that it does not grow is ours.
    expect(before - application.writableLength).toBe(0);
    expect(application.bytesWritten).toBeGreaterThan(0);
    stop();
    await end;
    server.destroy();
  });

  it("passes a reset on in both directions", async () => {
    const first = await joined();
    const fate = fateOf(first.application);
    first.server.resetAndDestroy();
    expect(await fate).toBe("ECONNRESET");
    await first.end;
    const [near, client] = tcp.pair();
    const [far, upstream] = tcp.pair();
    const below = socketOf(near);
    connect({ socket: below, rejectUnauthorized: false }).on("error", () => {});
    const { end } = await shake(client);
    const ended = new Promise<void>((resolve) => end.join(upstream, { idleMs: 0 }, resolve));
    const server = socketOf(far);
    const fateOfServer = fateOf(server);
    below.resetAndDestroy();
    expect(await fateOfServer).toBe("ECONNRESET");
    await ended;
  });

  it("ends what has been idle for too long, and nothing that is not", async () => {
    const { application, server, end } = await joined({ idleMs: 200 });
    const fates = Promise.all([fateOf(application), fateOf(server)]);
    const since = Date.now();
    for (let turn = 0; turn < 6; turn++) {
      application.write("still here");
      await sleep(80);
    }
    expect(await fates).toEqual(["ECONNRESET", "ECONNRESET"]);
    expect(Date.now() - since).toBeGreaterThan(480);
    await end;
  });

  it.each([
    "TLSv1.2",
    "TLSv1.3",
  ] as const)("tells clients of one policy apart, and resumes no session of theirs: %s", async (maxVersion) => {
    const authority = makePair({ subject: "/CN=authority" });
    const wanted: TlsSettings = {
      ...settings,
      clients: "require-and-verify",
      authorities: [authority.certificate],
    };
    const names = Array.from({ length: 4 }, (_, at) => `teller-${at}`);
    const sessions: Buffer[] = [];
    const one = async (options: ConnectionOptions) => {
      const [near, client] = tcp.pair();
      const application = secure(near, { ...options, maxVersion });
      const made = await shake(client, 5000, undefined, wanted).catch((error: Error) => error.message);
      const reused = application.isSessionReused();
      // With TLS 1.3 what could be resumed comes behind the handshake.
      await sleep(50);
      const session = application.getSession();
      if (session !== undefined) sessions.push(session);
      application.destroy();
      if (typeof made === "string") return { made, reused };
      made.end.reset();
      return { made: new X509Certificate(made.session.client ?? "").subject, reused };
    };
    const tellers = names.map((name) => {
      const { certificate: cert, key } = makePair({ subject: `/CN=${name}`, issuer: authority });
      return one({ cert, key });
    });
    const [nobody, ...known] = await Promise.all([one({}), ...tellers]);
    expect(nobody?.made).toBe("TLS handshake: the client has shown no certificate");
    expect(known).toEqual(names.map((name) => ({ made: `CN=${name}`, reused: false })));
    expect(sessions).toHaveLength(5);
    for (const session of sessions.splice(0))
      expect(await one({ session })).toEqual({
        made: "TLS handshake: the client has shown no certificate",
        reused: false,
      });
  });

  it.each([
    [undefined, "X25519"],
    ["X25519MLKEM768", "X25519MLKEM768"],
    ["P-384", "secp384r1"],
  ])("agrees on keys with a client that has the groups %s", async (ecdhCurve, group) => {
    const [near, client] = tcp.pair();
    const application = secure(near, ecdhCurve === undefined ? {} : { ecdhCurve });
    const { end } = await shake(client);
    expect(application.getEphemeralKeyInfo()).toMatchObject({ name: group });
    end.reset();
    application.destroy();
  });

  it.each([1, 500])("says what went wrong with a handshake, and resets, after %s lines", async (lines) => {
    const [near, client] = tcp.pair();
    const plain = socketOf(near);
    plain.write("SSH-2.0-OpenSSH_9.2\r\n".repeat(lines));
    const fate = fateOf(plain);
    await expect(shake(client)).rejects.toThrow("TLS handshake: the client does not speak TLS");
    expect(await fate).toBe("ECONNRESET");
  });

  it("resets a client that is too slow, and one that is not wanted any more", async () => {
    const [slow, one] = tcp.pair();
    const slowly = fateOf(socketOf(slow));
    await expect(shake(one, 50)).rejects.toThrow("TLS handshake: not made in 0.05 s");
    expect(await slowly).toBe("ECONNRESET");
    const [late, two] = tcp.pair();
    const lately = fateOf(socketOf(late));
    await expect(shake(two, 5000, AbortSignal.timeout(20))).rejects.toThrow("TLS handshake: the agent stops");
    expect(await lately).toBe("ECONNRESET");
  });

  it("says that a client went away", async () => {
    const [near, client] = tcp.pair();
    socketOf(near).end("\x16\x03\x01");
    await expect(shake(client)).rejects.toThrow("TLS handshake: the client went away");
  });

  it("does not echo a key that OpenSSL cannot use", async () => {
    const [near, client] = tcp.pair();
    const fate = fateOf(socketOf(near));
    const broken = {
      ...settings,
      key: new PrivateKey("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----"),
    };
    const signal = new AbortController().signal;
    await expect(shakeHands(client, broken, { timeoutMs: 1000, signal })).rejects.toThrow(
      "TLS handshake: OpenSSL cannot use the certificate, the key or an authority",
    );
    expect(await fate).toBe("ECONNRESET");
  });

  it("survives whatever ends when, and leaves nothing open", async () => {
    const before = descriptors();
    let ended = 0;
    const one = async (turn: number) => {
      const [near, client] = tcp.pair();
      const application = secure(near, turn % 2 === 0 ? { maxVersion: "TLSv1.2" } : {});
      application.on("data", () => {});
      application.write(Buffer.alloc(turn % 3 === 0 ? 2_000_000 : 100));
      if (turn % 7 === 0) setTimeout(() => application.destroy(), turn % 5);
      const made = await shake(client, 2000).catch(() => undefined);
      if (made === undefined || turn % 11 === 0) {
        made?.end.reset();
        await sleep(20);
        application.destroy();
        return;
      }
      const [far, upstream] = tcp.pair();
      const server = socketOf(far);
      if (turn % 4 === 0) setTimeout(() => server.resetAndDestroy(), turn % 30);
      else server.pipe(server);
      const end = new Promise<void>((resolve) => {
        const stop = made.end.join(upstream, { idleMs: 100 }, resolve);
        if (turn % 5 === 0) setTimeout(stop, turn % 40);
        if (turn % 13 === 0) stop();
      });
      if (turn % 6 === 0) application.end();
      await end;
      ended += 1;
      server.destroy();
      application.destroy();
    };
    for (let turn = 0; turn < 600; turn += 20) {
      await Promise.all(Array.from({ length: 20 }, (_, at) => one(turn + at)));
    }
    expect(ended).toBeGreaterThan(400);
    await until(() => descriptors() <= before);
  });
});
