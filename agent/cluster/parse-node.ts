/** Nodes: the addresses at which node ports answer. */
import type { Node } from "../model/objects.ts";
import { type Fields, field, listField, type Report } from "./fields.ts";
import type { Metadata } from "./metadata.ts";
import { addresses } from "./parse-addresses.ts";

export function parseNode(object: Fields, metadata: Metadata, report: Report): Node {
  const list = listField(field(object, "status"), "addresses", "status", report);
  const found = list.flatMap((entry, index) => {
    const type = field(entry, "type");
    if (type !== "InternalIP" && type !== "ExternalIP") return []; // host names lead to the same addresses
    return [{ value: field(entry, "address"), path: `status.addresses[${index}].address` }];
  });
  return { name: metadata.name, addresses: addresses(found, report) };
}
