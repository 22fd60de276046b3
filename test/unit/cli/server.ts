/** An API server with the objects of manifests, and a kubeconfig that leads to it. Both end with the test. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { ApiClient } from "../../lab/api-client.ts";
import { startApiServer } from "../../lab/apiserver/server.ts";
import { applyObjects, readManifests } from "../../lab/manifests.ts";

const CRDS = join(import.meta.dirname, "../../../charts/podgate/crds");

/** The path of the kubeconfig. */
export async function startLabObjects(...paths: readonly string[]): Promise<string> {
  const server = await startApiServer();
  const directory = mkdtempSync(join(tmpdir(), "podgate-server-"));
  onTestFinished(async () => {
    await server.close();
    rmSync(directory, { recursive: true });
  });
  await applyObjects(new ApiClient(server.url), readManifests([CRDS, ...paths]));
  const path = join(directory, "kubeconfig");
  writeFileSync(path, server.kubeconfig());
  return path;
}
