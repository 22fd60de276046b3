/** What a person does to the cluster: with the real kubectl where there is one, else by the same API calls. */
import { findKubectl } from "../lab/apiserver/kubectl.ts";
import { must } from "../lab/command.ts";
import type { Lab } from "../lab/lab.ts";

export class User {
  readonly #lab: Lab;
  readonly #kubectl: string | undefined;
  /** Why there is no kubectl; undefined if there is one. */
  readonly without: string | undefined;

  private constructor(lab: Lab, kubectl: string | undefined, without: string | undefined) {
    this.#lab = lab;
    this.#kubectl = kubectl;
    this.without = without;
  }

  static async of(lab: Lab): Promise<User> {
    const kubectl = await findKubectl();
    return kubectl.found ? new User(lab, kubectl.path, undefined) : new User(lab, undefined, kubectl.why);
  }

  async apply(manifest: string): Promise<void> {
    if (this.#kubectl === undefined) return this.#lab.apply(manifest);
    await this.#run(["apply", "-f", "-"], manifest);
  }

  async annotatePod(namespace: string, pod: string, key: string, value: string): Promise<void> {
    if (this.#kubectl !== undefined) {
      await this.#run(["annotate", "--overwrite", "-n", namespace, "pod", pod, `${key}=${value}`]);
      return;
    }
    const path = `/api/v1/namespaces/${namespace}/pods/${pod}`;
    await this.#lab.client.merge(path, { metadata: { annotations: { [key]: value } } });
  }

  /** The pod's last `lines` log lines. */
  async logs(namespace: string, pod: string, lines: number): Promise<string> {
    if (this.#kubectl !== undefined) return this.#run(["logs", "-n", namespace, pod, `--tail=${lines}`]);
    return (await this.#lab.log(namespace, pod)).trimEnd().split("\n").slice(-lines).join("\n");
  }

  #run(args: readonly string[], input?: string): Promise<string> {
    const argv = [this.#kubectl ?? "kubectl", "--kubeconfig", this.#lab.kubeconfigPath, ...args];
    return must(argv, input === undefined ? {} : { input });
  }
}
