/** `status`: whether a lab runs, and its pods. */
import { ApiClient } from "../api-client.ts";
import { leftovers } from "../cleanup.ts";
import { keyOf, type Pod } from "../kube-objects.ts";
import { liveOwner } from "../lock.ts";
import { labNames } from "../names.ts";

/** Resolves with the exit status: 0 if it runs, 3 if not, as init scripts have it. */
export async function status(name: string): Promise<number> {
  const names = labNames(name);
  const owner = liveOwner(names);
  if (owner?.url === undefined) {
    const left = leftovers(names);
    console.log(
      left.length === 0
        ? `${names.name} does not run`
        : `${names.name} does not run, but left behind: ${left.join(", ")}\n\`up\` and \`down\` remove that`,
    );
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
