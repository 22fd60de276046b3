/** Counts the packets that enter a pod's network namespace, whatever becomes of them there. */
import { must } from "../../lab/command.ts";
import { inNetns } from "../../lab/node.ts";

export interface PacketCount {
  /** TCP and UDP packets to these ports since the last call, or since the start. */
  take(): Promise<number>;
}

/** Before connection tracking and every rule. The table goes with the namespace. */
export async function countPackets(netns: string, ports: readonly number[]): Promise<PacketCount> {
  const table = `table inet podgate_test {
    counter arrived {}
    chain enter {
      type filter hook prerouting priority -300;
      meta l4proto { tcp, udp } th dport { ${ports.join(", ")} } counter name arrived
    }
  }`;
  await must(inNetns(netns, ["nft", "-f", "-"]), { input: table });
  return {
    take: async () => {
      const text = await must(
        inNetns(netns, ["nft", "-j", "reset", "counters", "table", "inet", "podgate_test"]),
      );
      const { nftables } = JSON.parse(text) as { nftables: { counter?: { packets: number } }[] };
      return nftables.reduce((sum, { counter }) => sum + (counter?.packets ?? 0), 0);
    },
  };
}
