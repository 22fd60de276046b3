/** What was measured, as text. */
import { type Column, tableHead, tableLine } from "../demo/table.ts";
import { ADDRESSES, type ConnectRow, GUARDS, PODS } from "./connects.ts";
import type { FillRow } from "./fill.ts";
import { AT_A_TIME, type Figure, type ProxyRows } from "./proxy.ts";

const number = (title: string, width: number): Column => ({ title, width, right: true });

export function printConnects(connects: readonly ConnectRow[]): void {
  const columns = [
    { title: "connect()", width: 24 },
    number("per second", 10),
    number("ratio", 6),
    number("p50 us", 7),
    number("ratio", 6),
    number("p99 us", 7),
    number("program ns", 10),
    { title: "ratios to", width: 22 },
  ];
  console.log(`\n${GUARDS} guards of ${ADDRESSES} addresses, ${PODS} pods\n`);
  printTable(columns, connects.map(connectCells));
  const runs = connects.flatMap(({ programNs }) => (Number.isNaN(programNs) ? [] : programNs));
  const mean = runs.reduce((sum, ns) => sum + ns, 0) / runs.length;
  console.log(
    `\nmean run of the program over these conditions: ${mean.toFixed(0)} ns, the kernel's counting included`,
  );
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

export function printFill(fill: readonly FillRow[]): void {
  const columns = [
    { title: "bringing the maps up to date", width: 30 },
    number("ms", 8),
    number("event loop held, ms", 20),
    number("entries changed", 16),
  ];
  console.log("");
  printTable(
    columns,
    fill.map(({ name, ms, stallMs, changes }) => [name, ms.toFixed(1), stallMs.toFixed(1), String(changes)]),
  );
}

export function printProxy({ streams, answers, missing }: ProxyRows): void {
  const cells = ({ value, ratio }: Figure, digits: number) => [value.toFixed(digits), ratio.toFixed(2)];
  const span = ({ range }: Figure) => range.map((ratio) => ratio.toFixed(2)).join("-");
  console.log(
    "\nbytes through a proxy in the caller's pod; ratios to the direct way, and their range by round\n",
  );
  printTable(
    [
      { title: "carried by", width: 20 },
      number("streams", 7),
      number("Gbit/s", 6),
      number("ratio", 5),
      number("by round", 9),
      number("ms/Gbit: machine", 16),
      number("ratio", 5),
      number("processes", 9),
      number("ratio", 5),
      number("by round", 9),
      number("proxy", 5),
    ],
    streams.map(({ carrier, streams, gbitPerSecond, machine, involved, proxy }) => [
      carrier,
      String(streams),
      ...cells(gbitPerSecond, 1),
      span(gbitPerSecond),
      ...cells(machine, 0),
      ...cells(involved, 0),
      span(involved),
      proxy === 0 ? "-" : proxy.toFixed(0),
    ]),
  );
  console.log("ms/Gbit is processor time; processes are sender, receiver and proxy together");
  console.log(
    `\nconnections that have a byte echoed, ${AT_A_TIME} at a time; and a byte's echo on one connection\n`,
  );
  printTable(
    [
      { title: "carried by", width: 20 },
      number("per second", 10),
      number("ratio", 5),
      number("by round", 9),
      number("proxy us each", 13),
      number("p50 us", 7),
      number("ratio", 5),
      number("by round", 9),
      number("p99 us", 7),
      number("ratio", 5),
    ],
    answers.map(({ carrier, connectsPerSecond, proxy, p50, p99 }) => [
      carrier,
      ...cells(connectsPerSecond, 0),
      span(connectsPerSecond),
      proxy === 0 ? "-" : proxy.toFixed(0),
      ...cells({ ...p50, value: p50.value / 1000 }, 1),
      span(p50),
      ...cells({ ...p99, value: p99.value / 1000 }, 1),
    ]),
  );
  for (const line of missing) console.log(`\n${line}`);
}

function printTable(columns: readonly Column[], rows: readonly string[][]): void {
  console.log(tableHead(columns));
  for (const cells of rows) console.log(tableLine(columns, cells));
}
