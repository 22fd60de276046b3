/** Channels of a test, and peers that are not ours. */
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished } from "vitest";
import type { FdChannel, Native } from "../../agent/dataplane/native.ts";
import { until } from "./namespace.ts";
import { builtNative, outputOf } from "./scratch.ts";

const never = (error: Error) => expect.fail(error.message);

/** For the tests of one `describe`: there when they run, and gone after the last one. */
export function openChannels(): Channels {
  const rig = new Channels();
  beforeAll(() => rig.open());
  afterAll(() => rig.remove());
  return rig;
}

class Channels {
  directory = "";
  #native: Native | undefined;
  #paths = 0;

  get native(): Native {
    this.#native ??= builtNative();
    return this.#native;
  }

  open(): void {
    this.directory = mkdtempSync(join(tmpdir(), "podgate-channel-"));
    chmodSync(this.directory, 0o755);
  }

  newPath(): string {
    return join(this.directory, `socket${this.#paths++}`);
  }

  /** Listens until the test ends. Everybody who connects is in `channels`. */
  listen(path = this.newPath()): { path: string; channels: FdChannel[] } {
    const channels: FdChannel[] = [];
    const listener = this.native.listenChannel(path, (channel) => channels.push(channel), never);
    onTestFinished(() => {
      listener.close();
      for (const channel of channels) channel.close();
    });
    return { path, channels };
  }

  /** Both ends of a channel. */
  async pair(): Promise<[FdChannel, FdChannel]> {
    const { path, channels } = this.listen();
    const near = this.native.connectChannel(path);
    onTestFinished(() => near.close());
    await until(() => channels.length === 1);
    return [near, channels[0] as FdChannel];
  }

  /** Collects what arrives. */
  collect(channel: FdChannel) {
    const seen = {
      messages: [] as string[],
      descriptors: [] as number[],
      ends: [] as (string | undefined)[],
    };
    channel.receive(
      (message, descriptors) => {
        seen.messages.push(message.toString());
        seen.descriptors.push(...descriptors);
      },
      (error) => seen.ends.push(error?.code),
    );
    return seen;
  }

  /** A peer that is not ours: `script` (Python) has the connected socket `s`. */
  stranger(path: string, script: string): Promise<string> {
    return outputOf("python3", [
      "-c",
      `import array, os, socket, sys\ns = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\ns.connect(sys.argv[1])\n${script}`,
      path,
    ]);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
