/**
 * What Podgate costs on this machine, measured in a lab of its own.
 * usage: npm run bench [-- --only connects|maps|proxy] [--json] [--rounds N] [--seconds S] [--proxy-rounds N] [--proxy-seconds S]
 */
import { parseArgs } from "node:util";
import { measureConnects } from "./connects.ts";
import { measureFill } from "./fill.ts";
import { measureProxy } from "./proxy.ts";
import { startSetting } from "./setting.ts";
import { printConnects, printFill, printProxy } from "./tables.ts";

const parts = ["connects", "maps", "proxy"] as const;

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true, default: [...parts] },
    json: { type: "boolean", default: false },
    rounds: { type: "string", default: "45" },
    seconds: { type: "string", default: "0.15" },
    "proxy-rounds": { type: "string", default: "7" },
    "proxy-seconds": { type: "string", default: "0.3" },
  },
});
const unknown = values.only.find((name) => !parts.some((part) => part === name));
if (unknown !== undefined) {
  console.error(`bench: --only ${unknown}: it must be one of ${parts.join(", ")}`);
  process.exit(1);
}
const wants = (part: (typeof parts)[number]) => values.only.includes(part);
const started = performance.now();
const progress = (line: string) =>
  process.stderr.write(`${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s  ${line}\n`);

const setting = await startSetting(progress).catch((error: unknown) => {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
});
try {
  const length = { rounds: Number(values.rounds), seconds: Number(values.seconds) };
  if (wants("connects")) progress(`${length.rounds} rounds of ${length.seconds} s for each condition`);
  const connects = wants("connects") ? await measureConnects(setting, length, progress) : undefined;
  if (wants("maps")) progress("filling the maps");
  const fill = wants("maps") ? await measureFill(setting) : undefined;
  if (connects && !values.json) printConnects(connects);
  if (fill && !values.json) printFill(fill);
  // Last: its agent stays until the lab is gone.
  if (wants("proxy")) progress("starting the agent and the other proxies");
  const proxyLength = { rounds: Number(values["proxy-rounds"]), seconds: Number(values["proxy-seconds"]) };
  const proxy = wants("proxy") ? await measureProxy(setting, proxyLength, progress) : undefined;
  if (proxy && !values.json) printProxy(proxy);
  if (values.json) console.log(JSON.stringify({ ...length, connects, fill, proxyLength, proxy }));
} finally {
  await setting.lab.stop();
}
