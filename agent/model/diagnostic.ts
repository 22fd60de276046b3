/** Something wrong with what a user wrote: where, what, and what to do. */
export interface Diagnostic {
  readonly severity: "error" | "warning";
  /** ngrok's code where one exists (ERR_NGROK_2200), else a PODGATE_ word. */
  readonly code: string;
  /** JSON path inside the object, such as `spec.trafficPolicy.inline.on_tcp_connect[1].expressions[0]`. */
  readonly path: string;
  /** Lower-case sentence that ends with what to do. */
  readonly message: string;
  /** Offsets into the expression at `path` (UTF-16 units), where the fault is inside one. */
  readonly range?: { readonly start: number; readonly end: number };
}

export function formatDiagnostic(diagnostic: Diagnostic): string {
  return `${diagnostic.path}: ${diagnostic.code}: ${diagnostic.message}`;
}
