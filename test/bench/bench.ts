/**
 * What Podgate costs on this machine, measured in a lab of its own.
 * usage: npm run bench [-- --json] [--rounds N] [--seconds S]
 */
import { parseArgs } from "node:util";
import { type Column, tableHead, tableLine } from "../demo/table.ts";
import { ADDRESSES, type ConnectRow, GUARDS, measureConnects, PODS } from "./connects.ts";
import { type FillRow, measureFill } from "./fill.ts";
import { startSetting } from "./setting.ts";

const { values } = parseArgs({
  options: {
    json: { type: "boolean", default: false },
    rounds: { type: "string", default: "45" },
    seconds: { type: "string", default: "0.15" },
  },
});
const started = performance.now();
const progress = (line: string) =>
  process.stderr.write(`${((performance.now() - started) / 1000).toFixed(1).padStart(6)} s  ${line}\n`);

const setting = await startSetting(progress).catch((error: unknown) => {
  console.error(`bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
});
try {
  const length = { rounds: Number(values.rounds), seconds: Number(values.seconds) };
  progress(`${length.rounds} rounds of ${length.seconds} s for each condition`);
  const connects = await measureConnects(setting, length, progress);
  progress("filling the maps");
  const fill = await measureFill(setting);
  if (values.json) console.log(JSON.stringify({ ...length, connects, fill }));
  else printTables(connects, fill);
} finally {
  await setting.lab.stop();
}

function printTables(connects: readonly ConnectRow[], fill: readonly FillRow[]): void {
  const connectColumns: Column[] = [
    { title: "connect()", width: 24 },
    { title: "per second", width: 10, right: true },
    { title: "ratio", width: 6, right: true },
    { title: "p50 us", width: 7, right: true },
    { title: "ratio", width: 6, right: true },
    { title: "p99 us", width: 7, right: true },
    { title: "program ns", width: 10, right: true },
    { title: "ratios to", width: 22 },
  ];
  console.log(`\n${GUARDS} guards of ${ADDRESSES} addresses, ${PODS} pods\n`);
  console.log(tableHead(connectColumns));
  for (const row of connects) console.log(tableLine(connectColumns, connectCells(row)));
  const runs = connects.flatMap(({ programNs }) => (Number.isNaN(programNs) ? [] : programNs));
  const mean = runs.reduce((sum, ns) => sum + ns, 0) / runs.length;
  console.log(
    `\nmean run of the program over these conditions: ${mean.toFixed(0)} ns, the kernel's counting included`,
  );
  const fillColumns: Column[] = [
    { title: "bringing the maps up to date", width: 30 },
    { title: "ms", width: 8, right: true },
    { title: "event loop held, ms", width: 20, right: true },
    { title: "entries changed", width: 16, right: true },
  ];
  console.log(`\n${tableHead(fillColumns)}`);
  for (const { name, ms, stallMs, changes } of fill) {
    console.log(tableLine(fillColumns, [name, ms.toFixed(1), stallMs.toFixed(1), String(changes)]));
  }
}

function connectCells(row: ConnectRow): string[] {
  return [
    row.name,
    row.connectsPerSecond.toFixed(0),
    row.ratio.toFixed(3),
    (row.p50 / 1000).toFixed(1),
    row.p50Ratio.toFixed(3),
    (row.p99 / 1000).toFixed(1),
    Number.isNaN(row.programNs) ? "-" : row.programNs.toFixed(0),
    row.base,
  ];
}
