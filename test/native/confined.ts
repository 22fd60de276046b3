/** The addon in other places than the test's own: a process that may open few files, and worker threads. */
import { join } from "node:path";
import { outputOf, projectRoot } from "./scratch.ts";

/** What `script` prints, a module that has `native`, in a Node.js that may have only `limit` descriptors open. */
export function confined(limit: number, script: string): Promise<string> {
  return outputOf("prlimit", [
    ...[`--nofile=${limit}:${limit}`, process.execPath, "--input-type=module", "-e"],
    `import { loadNative } from ${JSON.stringify(join(projectRoot, "agent/dataplane/native.ts"))};
     import { closeSync, openSync, readdirSync } from "node:fs";
     const native = loadNative();
     const count = () => readdirSync("/proc/self/fd").length;
     ${script}`,
  ]);
}

/**
 * How many descriptors more than after the first there are when each of five worker threads has run `script`, a function's body
 * that has `native`, and calls `over()` at last. Every second of them ends itself then.
 */
export function leftByWorkers(script: string): Promise<string> {
  const addon = join(projectRoot, "build/Release/podgate.node");
  const workers = ["", "process.exit(7);"].map(
    (last) => `
    const native = require(${JSON.stringify(addon)});
    const over = () => { require("node:worker_threads").parentPort.postMessage("over"); ${last} };
    ${script}`,
  );
  // The first worker makes Node.js open a descriptor that it keeps.
  return confined(
    200,
    `const { Worker } = await import("node:worker_threads");
     const counts = [], workers = ${JSON.stringify(workers)};
     for (let number = 0; number < 5; number++) {
       const worker = new Worker(workers[number % 2], { eval: true, execArgv: [] });
       await new Promise((resolve) => worker.once("message", resolve));
       await worker.terminate();
       counts.push(count());
     }
     console.log(counts.map((it) => it - counts[0]).join(" "));`,
  );
}
