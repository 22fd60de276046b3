/** What a policy may read of the object that it belongs to. */
import type { EndpointFacts } from "../model/connection.ts";
import type { ConnectionPolicy, Endpoint } from "../model/objects.ts";
import { parseForwardUrl } from "../policy/url.ts";

export function endpointFacts(object: Endpoint | ConnectionPolicy): EndpointFacts {
  const id = object.uid;
  if (object.kind === "ConnectionPolicy") return { id, url: "", protocol: "", host: "", port: 0 };
  const url = parseForwardUrl(object.url);
  if (url instanceof Error) return { id, url: object.url, protocol: "", host: "", port: 0 };
  const { scheme, host, port, defaultPort } = url;
  return { id, url: object.url, protocol: scheme, host, port: port ?? defaultPort };
}
