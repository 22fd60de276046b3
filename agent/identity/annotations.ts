/** Which annotations of a pod a policy may read, and how many bytes of them. */

/** ngrok's older and newer prefix, and ours. */
export const DEFAULT_PREFIXES: readonly string[] = ["k8s.ngrok.com/", "ngrok.com/", "podgate.dev/"];

/** Bytes of all surfaced keys and values together, in UTF-8. */
export const ANNOTATION_LIMIT = 1024;

export interface SurfacedAnnotations {
  readonly annotations: ReadonlyMap<string, string>;
  /** Whether some were left out because all together take more than 1024 bytes. */
  readonly truncated: boolean;
}

/**
 * The annotations whose key begins with one of `prefixes`, exactly as written. Where they are too large, those that
 * fit, in order of their keys' code points up to the first that does not: the same for every caller and every restart.
 */
export function surfaceAnnotations(
  all: ReadonlyMap<string, string>,
  prefixes: readonly string[] = DEFAULT_PREFIXES,
): SurfacedAnnotations {
  const entries = [...all]
    .filter(([key]) => prefixes.some((prefix) => key.startsWith(prefix)))
    // The order of UTF-8 bytes is that of code points; JavaScript's own is not.
    .map(([key, value]) => ({ key, value, bytes: Buffer.from(key) }))
    .sort((a, b) => Buffer.compare(a.bytes, b.bytes));
  const annotations = new Map<string, string>();
  let size = 0;
  for (const { key, value, bytes } of entries) {
    size += bytes.length + Buffer.byteLength(value);
    if (size > ANNOTATION_LIMIT) return { annotations, truncated: true };
    annotations.set(key, value);
  }
  return { annotations, truncated: false };
}
