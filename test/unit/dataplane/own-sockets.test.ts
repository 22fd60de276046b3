/** Which sockets are this process's own. */
import { fstatSync } from "node:fs";
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { ownSockets } from "../../../agent/dataplane/own-sockets.ts";

test("a socket is this process's own from when it is made until it is closed", async () => {
  const before = ownSockets();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const added = [...ownSockets()].filter((inode) => !before.has(inode));
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
  expect(added).toContain(fstatSync(fd, { bigint: true }).ino);
  await new Promise((resolve) => server.close(resolve));
  expect([...ownSockets()].filter((inode) => added.includes(inode))).toEqual([]);
});
