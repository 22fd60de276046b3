/** What an expression may read: given by the caller, so that this folder knows CEL and nothing of policies. */

/** `dyn`: known only when evaluated. */
export type VariableType =
  | "string"
  | "bytes"
  | "int"
  | "uint"
  | "double"
  | "bool"
  | "timestamp"
  | "duration"
  | "null"
  | "type"
  | "dyn"
  | `list<${string}>`
  | `map<${string}, ${string}>`;

export interface VariableGroup {
  readonly [word: string]: VariableType | VariableGroup;
}

/** How large a variable's value can be: bounds the cost of an expression that reads it. */
export interface Bound {
  /** Elements of the list, or entries of the map. */
  readonly entries: number;
  /** UTF-16 units of everything in it together. */
  readonly characters: number;
}

export interface Environment {
  readonly variables: VariableGroup;
  /**
   * Full paths that mean something elsewhere but not here, with why: "there is no TLS at on_tcp_connect". The longest
   * that begins what was written counts. They may lie below a variable: `conn.client_ip.categories`.
   */
  readonly refused: ReadonlyMap<string, string>;
  /** Full paths that people write by mistake, with what they mean. */
  readonly meant: ReadonlyMap<string, string>;
  /** By full path; a variable that is not here is as large as `DEFAULT_BOUND` says. */
  readonly bounds: ReadonlyMap<string, Bound>;
}

/** Large enough for every name in Kubernetes. */
export const DEFAULT_BOUND: Bound = { entries: 64, characters: 512 };
