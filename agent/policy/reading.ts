/** What reading one policy carries along: what is wrong so far, what may still be spent, and what has been set. */
import { Budget } from "./budget.ts";
import { Surroundings } from "./environment.ts";
import type { Report } from "./report.ts";

export class Reading {
  readonly report: Report;
  readonly budget: Budget;
  readonly surroundings = new Surroundings();
  /** What everything read so far reads. */
  readonly reads = new Set<string>();

  constructor(path: string, report: Report) {
    this.report = report;
    this.budget = new Budget(path, report);
  }

  spend(cost: number, reads: ReadonlySet<string>): void {
    this.budget.spend(cost);
    for (const name of reads) this.reads.add(name);
  }
}
