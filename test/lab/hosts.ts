/** How pods resolve Services: a hosts file for each namespace, in place of a cluster's DNS. */
import {
  closeSync,
  existsSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import type { Service } from "./kube-objects.ts";
import type { LabNames } from "./names.ts";

const LOOPBACK = "127.0.0.1 localhost\n::1 localhost\n";

/** The path of the namespace's file, which exists from now on and knows these Services. */
export function ensureHostsFile(names: LabNames, services: readonly Service[], namespace: string): string {
  const path = join(names.hostsDir, namespace);
  if (!existsSync(path)) writeFileSync(path, hostsText(services, namespace));
  return path;
}

/** Brings every namespace's file up to date. */
export function writeHosts(names: LabNames, services: readonly Service[]): void {
  for (const namespace of readdirSync(names.hostsDir)) {
    const path = join(names.hostsDir, namespace);
    const text = hostsText(services, namespace);
    if (readFileSync(path, "utf8") !== text) overwrite(path, text);
  }
}

/** Seen from `namespace`, whose own Services have a short name too. */
function hostsText(services: readonly Service[], namespace: string): string {
  const lines = services.flatMap((service) => {
    const { name } = service.metadata;
    const own = service.metadata.namespace ?? "";
    const full = [`${name}.${own}`, `${name}.${own}.svc`, `${name}.${own}.svc.cluster.local`];
    const aliases = [...(own === namespace ? [name] : []), ...full].join(" ");
    return clusterIps(service).map((address) => `${address} ${aliases}\n`);
  });
  return LOOPBACK + lines.join("");
}

function clusterIps({ spec }: Service): string[] {
  return (spec.clusterIPs ?? [spec.clusterIP ?? ""]).filter(
    (address) => address !== "" && address !== "None",
  );
}

/** In place: the file is bind-mounted into pods, so another file of the same name would not be seen. */
function overwrite(path: string, text: string): void {
  const file = openSync(path, "r+");
  try {
    writeSync(file, text, 0);
    ftruncateSync(file, Buffer.byteLength(text));
  } finally {
    closeSync(file);
  }
}
