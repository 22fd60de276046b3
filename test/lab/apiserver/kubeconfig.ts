/** The file that points kubectl at a server. */
import { stringify } from "yaml";

export function kubeconfig(url: string): string {
  const name = "podgate-lab";
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name, cluster: { server: url } }],
    users: [{ name, user: {} }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    "current-context": name,
  });
}
