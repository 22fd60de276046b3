/** What a pod sees of the file system: the machine's, with a hosts file that knows Services, without the lab's mounts. */
import { closeSync, existsSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { must, run } from "./command.ts";
import type { LabNames } from "./names.ts";

/**
 * A copy of the machine's mounts would keep every other pod's network namespace and the agent's pins alive for as
 * long as this pod lives, so it lets go of both.
 */
const SETUP = `
mount --bind "$1" /etc/hosts
umount --lazy "$2"
umount --lazy "$3"
`;

/** Makes the pod's mount namespace, with `hosts` as its hosts file, and returns its path. */
export async function makePodMounts(names: LabNames, uid: string, hosts: string): Promise<string> {
  const path = mountsPath(names, uid);
  closeSync(openSync(path, "wx"));
  const setup = ["sh", "-euc", SETUP, "setup", hosts, names.namespaceDir, names.pinDir];
  await must(["unshare", `--mount=${path}`, "--propagation", "private", ...setup]);
  return path;
}

export async function removePodMounts(names: LabNames, uid: string): Promise<void> {
  const path = mountsPath(names, uid);
  if (!existsSync(path)) return;
  await run(["umount", "--lazy", path]);
  rmSync(path, { force: true });
}

function mountsPath(names: LabNames, uid: string): string {
  return join(names.namespaceDir, `${uid}.mnt`);
}
