/** AgentEndpoints and CloudEndpoints. Whatever cannot be read makes the policy malformed, so that it denies. */
import type { Endpoint } from "../model/objects.ts";
import {
  choice,
  GUARD_UPSTREAM_ANNOTATION,
  MODE_ANNOTATION,
  REAUTHORIZE,
  REAUTHORIZE_ANNOTATION,
} from "./annotation.ts";
import { describe, type Fields, field, isRecord, type Report, text } from "./fields.ts";
import type { Metadata } from "./metadata.ts";
import { type Malformed, malformed, policySource } from "./parse-policy-source.ts";

export function parseAgentEndpoint(object: Fields, metadata: Metadata, report: Report): Endpoint {
  return parseEndpoint("AgentEndpoint", object, metadata, report);
}

export function parseCloudEndpoint(object: Fields, metadata: Metadata, report: Report): Endpoint {
  return parseEndpoint("CloudEndpoint", object, metadata, report);
}

function parseEndpoint(kind: Endpoint["kind"], object: Fields, metadata: Metadata, report: Report): Endpoint {
  const found = field(object, "spec");
  const spec = isRecord(found) ? found : {};
  const faults: Malformed[] = [];
  if (!isRecord(found)) faults.push(malformed("spec", `is ${describe(found)}: write what the endpoint is`));
  const url = text(field(spec, "url"));
  if (!url)
    faults.push(malformed("spec.url", `is ${describe(field(spec, "url"))}: write the endpoint's url`));
  const upstream = kind === "AgentEndpoint" ? upstreamUrl(spec, faults) : undefined;
  const bindings = readBindings(spec, faults);
  const audit = choice(metadata, MODE_ANNOTATION, { audit: true, enforce: false }, faults);
  const guardUpstream = choice(metadata, GUARD_UPSTREAM_ANNOTATION, { true: true, false: false }, faults);
  const connectOnly = choice(metadata, REAUTHORIZE_ANNOTATION, REAUTHORIZE, faults);
  const [fault] = faults;
  for (const { path, message } of faults) report(path, message);
  return {
    kind,
    uid: metadata.uid,
    namespace: metadata.namespace,
    name: metadata.name,
    generation: metadata.generation,
    policy: fault ?? policySource(spec),
    audit,
    connectOnly,
    url: url ?? "",
    bindings,
    ...(upstream === undefined ? {} : { upstreamUrl: upstream }),
    guardUpstream,
  };
}

function upstreamUrl(spec: Fields, faults: Malformed[]): string | undefined {
  const url = field(field(spec, "upstream"), "url");
  if (typeof url === "string" && url !== "") return url;
  faults.push(malformed("spec.upstream.url", `is ${describe(url)}: write where connections go`));
  return undefined;
}

function readBindings(spec: Fields, faults: Malformed[]): readonly string[] {
  const found = field(spec, "bindings") ?? [];
  // One name instead of a list of one is still meant: leaving it out would unguard the Service.
  const list = Array.isArray(found) ? found : [found];
  const bindings = list.filter((entry) => typeof entry === "string");
  if (list !== found || bindings.length !== list.length) {
    faults.push(malformed("spec.bindings", `is ${describe(found)}: write a list such as [kubernetes]`));
  }
  return bindings;
}
