/** The agent's metrics, as Prometheus would read them. */
import { NODE_IPV4 } from "../../lab/addresses.ts";
import { must } from "../../lab/command.ts";

export const METRICS_PORT = 9474;

/** The value of a series, `name{label="value"}`; 0 if there is none. */
export type Counts = (series: string) => number;

/** From the network namespace of the node. */
export async function scrape(netns: string): Promise<Counts> {
  const url = `http://${NODE_IPV4}:${METRICS_PORT}/metrics`;
  const page = await must(["nsenter", `--net=${netns}`, "curl", "-sSf", "--max-time", "5", url]);
  const values = new Map(
    page.split("\n").flatMap((line) => {
      const [, series = "", value] = /^(\w+(?:\{.*\})?) (\d+)$/.exec(line) ?? [];
      return value === undefined ? [] : [[series, Number(value)] as const];
    }),
  );
  return (series) => values.get(series) ?? 0;
}
