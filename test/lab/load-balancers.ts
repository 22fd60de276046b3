/** Gives Services of type LoadBalancer an address outside the cluster's, as a cloud would. */
import { type ApiClient, isStatus } from "./api-client.ts";
import type { Service } from "./kube-objects.ts";

/** Documentation addresses (RFC 5737, RFC 3849), one pair for each of 250 Services. */
const PREFIXES = { IPv4: "198.51.100.", IPv6: "2001:db8:1b::" } as const;

export async function assignLoadBalancers(client: ApiClient, services: readonly Service[]): Promise<void> {
  const balanced = services.filter(({ spec }) => spec.type === "LoadBalancer");
  const taken = new Set(balanced.flatMap(ingressOf));
  for (const service of balanced.filter((each) => ingressOf(each).length === 0)) {
    const number = freeNumber(taken);
    const families = service.spec.ipFamilies ?? ["IPv4"];
    const ingress = families.map((family) => ({ ip: address(family, number) }));
    for (const { ip } of ingress) taken.add(ip);
    const { namespace, name, uid } = service.metadata;
    const patch = { metadata: { uid }, status: { loadBalancer: { ingress } } };
    try {
      await client.merge(`/api/v1/namespaces/${namespace}/services/${name}/status`, patch);
    } catch (error) {
      if (!isStatus(error, 404, 409)) throw error;
    }
  }
}

function ingressOf({ status }: Service): string[] {
  return (status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => (ip === undefined ? [] : [ip]));
}

function freeNumber(taken: ReadonlySet<string>): number {
  for (let number = 1; number <= 250; number++)
    if (!taken.has(address("IPv4", number)) && !taken.has(address("IPv6", number))) return number;
  throw new Error("give a load balancer an address: all 250 are taken");
}

function address(family: string, number: number): string {
  return family === "IPv6" ? `${PREFIXES.IPv6}${number.toString(16)}` : `${PREFIXES.IPv4}${number}`;
}
