/** Reads /proc/PID/mountinfo: which directory of which cgroup hierarchy is mounted where. */

export interface CgroupMount {
  readonly version: 1 | 2;
  /** The mounted directory, as seen from the reader's cgroup namespace: `/../..` lies outside it. */
  readonly root: string;
  readonly mountPoint: string;
}

/** The cgroup mounts of a mountinfo text, in its order. */
export function parseCgroupMounts(mountinfo: string): CgroupMount[] {
  return mountinfo.split("\n").flatMap((line) => {
    // proc(5): id parent major:minor root mount-point options [optional fields] - type source super-options
    const [mount, filesystem] = line.split(" - ");
    const [, , , root, mountPoint] = mount?.split(" ") ?? [];
    const type = filesystem?.split(" ")[0];
    if (root === undefined || mountPoint === undefined) return [];
    if (type !== "cgroup" && type !== "cgroup2") return [];
    return [
      { version: type === "cgroup2" ? 2 : 1, root: decodeOctal(root), mountPoint: decodeOctal(mountPoint) },
    ];
  });
}

/**
 * Where the whole cgroup v2 tree is mounted: `/sys/fs/cgroup`, `/sys/fs/cgroup/unified` beside v1, or wherever a
 * container has the host's. Every mount of the root shows the same tree, so the first one serves.
 */
export function findCgroup2Mount(mountinfo: string): string | Error {
  const mounts = parseCgroupMounts(mountinfo).filter((mount) => mount.version === 2);
  if (mounts.length === 0) {
    return new Error(
      "find cgroup v2: no cgroup2 file system is mounted: boot with systemd.unified_cgroup_hierarchy=1",
    );
  }
  const outermost = mounts
    .filter((mount) => isAboveNamespace(mount.root))
    .sort((a, b) => b.root.length - a.root.length)[0];
  if (outermost !== undefined) return outermost.mountPoint;
  return new Error(
    `find cgroup v2: ${mounts.map((mount) => mount.mountPoint).join(", ")} shows only a part of it: mount the host's /sys/fs/cgroup`,
  );
}

/** `/`, `/..`, `/../..`: the more steps, the nearer to the hierarchy's own root. A named directory is a part of it. */
function isAboveNamespace(root: string): boolean {
  return /^\/$|^(?:\/\.\.)+$/.test(root);
}

/** mountinfo writes space, tab, newline and backslash as three octal digits. */
function decodeOctal(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
