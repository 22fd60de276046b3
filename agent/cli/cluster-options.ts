/** How subcommands that a person runs reach a cluster: as kubectl does. */
import { Option } from "commander";
import { findAccess } from "../cluster/access.ts";
import { Api } from "../cluster/api.ts";
import { systemClock } from "../model/clock.ts";

export interface ClusterFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
}

export const kubeconfigOption = () =>
  new Option("--kubeconfig <file>", "the kubeconfig (default: $KUBECONFIG, then ~/.kube/config)");

export const contextOption = () =>
  new Option("--context <name>", "a context of the kubeconfig (default: its current one)");

/** @throws Error that names the kubeconfig that is missing or wrong. */
export async function connect({ kubeconfig, context }: ClusterFlags): Promise<Api> {
  return new Api(await findAccess(systemClock, kubeconfig, process.env, context), systemClock);
}
