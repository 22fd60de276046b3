/**
 * Says "look again" when a directory appears or vanishes below the kubepods root, from inside mkdir(). Only a
 * notification: what is missed here, the periodic reconcile finds, and until then the pod is unresolved.
 */
import { objectPath } from "./kernel.ts";
import type { Native } from "./native.ts";

const PATH_BYTES = 512;

/** `path` is the kubepods root's path from the hierarchy's root. @throws NativeError where the kernel cannot. */
export function watchCgroups(native: Native, path: string, onChange: () => void): { close(): void } {
  const opened: { close(): void }[] = [];
  const close = () => {
    for (const handle of opened.reverse()) handle.close();
    opened.length = 0;
  };
  try {
    const bytes = Buffer.alloc(PATH_BYTES);
    if (bytes.write(path) >= PATH_BYTES)
      throw new RangeError(`watch cgroup ${path}: the path is over ${PATH_BYTES - 1} bytes`);
    const object = new native.BpfObject(objectPath("cgroups"));
    opened.push(object);
    object.setGlobal("kubepods_path", bytes);
    object.load();
    const map = object.map("cgroup_changes");
    opened.push(map);
    for (const event of ["cgroup_mkdir", "cgroup_rmdir"]) {
      const program = object.program(event);
      opened.push(program);
      opened.push(program.attachRawTracepoint(event));
    }
    opened.push(new native.EventReader(map, { maxBatchBytes: 4096 }, onChange, onChange));
  } catch (error) {
    close();
    throw error;
  }
  return { close };
}
