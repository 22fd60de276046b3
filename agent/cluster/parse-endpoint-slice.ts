/** EndpointSlices: where a Service's connections end up, ready or not. */
import type { EndpointSlice } from "../model/objects.ts";
import { type Fields, field, listField, numberField, type Report, textField } from "./fields.ts";
import type { Metadata } from "./metadata.ts";
import { addresses, elements } from "./parse-addresses.ts";

const SERVICE_NAME = "kubernetes.io/service-name";

export function parseEndpointSlice(object: Fields, metadata: Metadata, report: Report): EndpointSlice {
  // Host names (addressType FQDN) are nothing that a Service proxy routes to.
  const routable = field(object, "addressType") !== "FQDN";
  const endpoints = routable ? listField(object, "endpoints", "", report) : [];
  const found = endpoints.flatMap((endpoint, index) => {
    const path = `endpoints[${index}]`;
    return elements(listField(endpoint, "addresses", path, report), `${path}.addresses`);
  });
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    serviceName: textField(metadata.labels, SERVICE_NAME, "metadata.labels", report),
    addresses: addresses(found, report),
    ports: slicePorts(object, report),
  };
}

function slicePorts(object: Fields, report: Report): EndpointSlice["ports"] {
  return listField(object, "ports", "", report).flatMap((entry, index) => {
    const path = `ports[${index}]`;
    // A port without a number means "any" to whoever made the slice; Service proxies skip it.
    const port = numberField(entry, "port", path, [1, 65535], report);
    if (port === undefined) return [];
    const protocol = textField(entry, "protocol", path, report) || "TCP";
    return [{ name: textField(entry, "name", path, report), protocol, port }];
  });
}
