/** Takes the API server away from the node's programs, as a broken network does; the lab itself still reaches it. */
import { must } from "../../lab/command.ts";
import type { Lab } from "../../lab/lab.ts";
import { inNetns } from "../../lab/node.ts";

const TABLE = "podgate_test_outage";

/** New connections are refused, and the watches that are open now are reset. Returns what ends it. */
export async function takeApiAway(lab: Lab): Promise<() => Promise<void>> {
  const nft = (input: string) => must(inNetns(lab.names.nodeNetns, ["nft", "-f", "-"]), { input });
  await nft(`table inet ${TABLE} {
    chain leave {
      type filter hook output priority -10;
      tcp dport ${new URL(lab.api.url).port} reject with tcp reset
    }
  }`);
  lab.api.faults.resetWatches();
  return async () => {
    await nft(`delete table inet ${TABLE}`);
  };
}
