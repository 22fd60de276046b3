import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cgroupsBelow, processesIn } from "../../agent/dataplane/cgroup-processes.ts";
import { obstacle, Scratch } from "./scratch.ts";

describe.skipIf(obstacle())("the processes of a cgroup", () => {
  let scratch: Scratch;
  beforeAll(() => {
    scratch = new Scratch();
  });
  afterAll(() => scratch?.remove());

  it("are found beside a threaded cgroup, which has no list of its own", async () => {
    const pod = join(scratch.cgroup, "pod");
    const threaded = join(pod, "threaded");
    mkdirSync(threaded, { recursive: true });
    const sleeper = spawn("sleep", ["60"]);
    try {
      writeFileSync(join(threaded, "cgroup.type"), "threaded");
      writeFileSync(join(pod, "cgroup.procs"), String(sleeper.pid));
      const cgroups = [...cgroupsBelow(scratch.cgroup)];
      expect(cgroups).toEqual([scratch.cgroup, pod, threaded]);
      expect(cgroups.map(processesIn)).toEqual([[], [sleeper.pid], []]);
    } finally {
      sleeper.kill("SIGKILL");
      await once(sleeper, "close");
      rmdirSync(threaded);
      rmdirSync(pod);
    }
    expect([...cgroupsBelow(pod)].map(processesIn)).toEqual([[]]);
  });
});
