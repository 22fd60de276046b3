/** Addresses inside API objects. */
import { type IpAddress, parseAddress } from "../model/address.ts";
import { describe, type Report } from "./fields.ts";

/** The canonical addresses among `values`, each once. What is none is reported and left out. */
export function addresses(
  values: readonly { readonly value: unknown; readonly path: string }[],
  report: Report,
): readonly IpAddress[] {
  const found = new Set<IpAddress>();
  for (const { value, path } of values) {
    const address = typeof value === "string" ? parseAddress(value) : undefined;
    if (address === undefined) report(path, `is ${describe(value)}, not an IP address`);
    else found.add(address);
  }
  return [...found];
}

/** The elements of a list with their paths, as `addresses` takes them. */
export function elements(
  list: readonly unknown[],
  path: string,
): readonly { readonly value: unknown; readonly path: string }[] {
  return list.map((value, index) => ({ value, path: `${path}[${index}]` }));
}
