/** `status`: whether a lab runs, and its pods. */
import { ApiClient } from "../api-client.ts";
import { leftovers } from "../cleanup.ts";
import { keyOf, type Pod } from "../kube-objects.ts";
import { liveOwner } from "../lock.ts";
import { labNames } from "../names.ts";
import { counted } from "./counted.ts";

/** Resolves with the exit status: 0 if it runs, 3 if not, as init scripts have it. */
export async function status(name: string): Promise<number> {
  const names = labNames(name);
  const owner = liveOwner(names);
  if (owner?.url === undefined) {
    const starting = `${names.name} is being started by process ${owner?.pid}`;
    console.log(owner === undefined ? afterRun(names.name, leftovers(names)) : starting);
    return 3;
  }
  console.log(`${names.name} runs in process ${owner.pid}\nexport KUBECONFIG=${names.kubeconfig}\n`);
  const client = new ApiClient(owner.url);
  const { items } = (await client.json("/api/v1/pods")) as { items: Pod[] };
  client.close();
  const rows = items.map((pod) => [keyOf(pod), pod.status?.phase ?? "", readiness(pod), addresses(pod)]);
  console.log(table([["POD", "PHASE", "READY", "ADDRESSES"], ...rows]));
  return 0;
}

/** Of a lab that no process runs. */
function afterRun(name: string, left: readonly string[]): string {
  if (left.length === 0) return `${name} does not run`;
  const mounts = left.filter((thing) => thing.startsWith("mount ")).length;
  const directories = counted(left.length - mounts, "directory", "directories");
  return `${name} crashed and left ${directories} and ${counted(mounts, "mount")}; \`up\` or \`down\` removes them`;
}

function readiness({ status }: Pod): string {
  const containers = status?.containerStatuses ?? [];
  return `${containers.filter(({ ready }) => ready).length}/${containers.length}`;
}

function addresses({ status }: Pod): string {
  return (status?.podIPs ?? []).map(({ ip }) => ip).join(", ");
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const line = (row: readonly string[]) =>
    row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ");
  return rows.map((row) => line(row).trimEnd()).join("\n");
}
