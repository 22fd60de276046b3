/** The kubectl of this machine, if it has one that is new enough. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const run = promisify(execFile);

export type Kubectl =
  | { readonly found: true; readonly path: string; readonly version: string }
  | { readonly found: false; readonly why: string };

/** 1.27 is the first that leaves the validation of fields to the server and prints what the tests expect. */
const oldest = 27;

export async function findKubectl(path = "kubectl"): Promise<Kubectl> {
  let text: string;
  try {
    text = (await run(path, ["version", "--client", "--output=json"])).stdout;
  } catch (error) {
    return { found: false, why: `no kubectl: ${(error as Error).message.split("\n")[0]}` };
  }
  const version = /"gitVersion":\s*"(v1\.(\d+)[^"]*)"/.exec(text);
  const [, name = "", minor = "0"] = version ?? [];
  if (Number(minor) >= oldest) return { found: true, path, version: name };
  return { found: false, why: `kubectl ${name || "of unknown version"} is older than v1.${oldest}` };
}
