/** What Podgate costs on this machine, measured in a lab of its own. */
import { parseArgs } from "node:util";
import { measureConnects } from "./connects.ts";
import { measureFill } from "./fill.ts";
import { measureProxy } from "./proxy.ts";
import { startSetting } from "./setting.ts";
import { printConnects, printFill, printProxy } from "./tables.ts";

const USAGE =
  "usage: npm run bench [-- --only connects|maps|proxy] [--json] [--rounds N] [--seconds S] [--proxy-rounds N] [--proxy-seconds S]";
const MEANING = `
connects  what the hook costs a connect (--rounds, of --seconds for each condition)
maps      how long it takes to fill the maps
proxy     what the proxy costs a stream (--proxy-rounds, --proxy-seconds)
All three where --only does not say (it may be repeated), as tables or --json. Needs root.`;
const parts = ["connects", "maps", "proxy"] as const;

const values = flags();
if (values.help) {
  console.log(`${USAGE}\n${MEANING}`);
  process.exit(0);
}
const unknown = values.only.find((name) => !parts.some((part) => part === name));
if (unknown !== undefined) fail(`--only ${unknown}: it must be one of ${parts.join(", ")}`);
const length = { rounds: number("rounds"), seconds: number("seconds") };
const proxyLength = { rounds: number("proxy-rounds"), seconds: number("proxy-seconds") };
const wants = (part: (typeof parts)[number]) => values.only.includes(part);
const started = performance.now();
const progress = (line: string) =>
  process.stderr.write(`${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s  ${line}\n`);

const setting = await startSetting(progress).catch(fail);
try {
  if (wants("connects")) progress(`${length.rounds} rounds of ${length.seconds} s for each condition`);
  const connects = wants("connects") ? await measureConnects(setting, length, progress) : undefined;
  if (wants("maps")) progress("filling the maps");
  const fill = wants("maps") ? await measureFill(setting) : undefined;
  if (connects && !values.json) printConnects(connects);
  if (fill && !values.json) printFill(fill);
  // Last: its agent stays until the lab is gone.
  if (wants("proxy")) progress("starting the agent and the other proxies");
  const proxy = wants("proxy") ? await measureProxy(setting, proxyLength, progress) : undefined;
  if (proxy && !values.json) printProxy(proxy);
  if (values.json) console.log(JSON.stringify({ ...length, connects, fill, proxyLength, proxy }));
} finally {
  await setting.lab.stop();
}

function flags() {
  try {
    const { values } = parseArgs({
      options: {
        help: { type: "boolean", short: "h", default: false },
        only: { type: "string", multiple: true, default: [...parts] },
        json: { type: "boolean", default: false },
        rounds: { type: "string", default: "45" },
        seconds: { type: "string", default: "0.15" },
        "proxy-rounds": { type: "string", default: "7" },
        "proxy-seconds": { type: "string", default: "0.3" },
      },
    });
    return values;
  } catch (error) {
    // Node.js adds advice about positional arguments, of which there are none.
    return fail(`${(error as Error).message.split(". ")[0]}\n${USAGE}`);
  }
}

function number(name: "rounds" | "seconds" | "proxy-rounds" | "proxy-seconds"): number {
  const value = Number(values[name]);
  return value > 0 ? value : fail(`--${name} ${values[name]}: it must be a number above 0`);
}

function fail(why: unknown): never {
  console.error(`bench: ${why instanceof Error ? why.message : String(why)}`);
  process.exit(1);
}
