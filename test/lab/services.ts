/** kube-proxy's part: writes the ruleset for the Services there are into the node's namespace. */
import { frontends } from "./backends.ts";
import { must } from "./command.ts";
import type { EndpointSlice, Service } from "./kube-objects.ts";
import type { LabNames } from "./names.ts";
import { ruleset } from "./nft-ruleset.ts";
import { inNetns } from "./node.ts";

export class ServiceProxy {
  readonly #names: LabNames;
  #written = "";

  constructor(names: LabNames) {
    this.#names = names;
  }

  async sync(services: readonly Service[], slices: readonly EndpointSlice[]): Promise<void> {
    const text = ruleset(this.#names.table, frontends(services, slices));
    if (text === this.#written) return;
    await must(inNetns(this.#names.nodeNetns, ["nft", "-f", "-"]), { input: text });
    this.#written = text;
  }
}
