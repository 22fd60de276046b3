/** Reads YAML files that hold policies or Kubernetes objects, and says where in the file a fault is. */
import {
  type Document,
  isCollection,
  isMap,
  isNode,
  isScalar,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
  visit,
} from "yaml";
import type { Diagnostic } from "../model/diagnostic.ts";
import { pathKeys } from "./json-path.ts";
import { type Span, writtenSpan } from "./yaml-scalar.ts";

export type { Span };

/** Line and column count from 1; a column is a UTF-16 unit. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface PlacedDiagnostic extends Diagnostic {
  readonly position: Position;
  /** The offending text: offsets into the file. */
  readonly span: Span;
}

export interface PolicyDocument {
  /** What `kubectl apply` would send; null when the YAML is broken. */
  readonly value: unknown;
  /** Faults of the YAML itself: what a parser of `value` cannot see any more. */
  readonly diagnostics: readonly PlacedDiagnostic[];
  /** Where the value at a JSON path begins, or what is nearest above it. */
  locate(path: string): Position;
  /** The text at a JSON path, of a text value only `range` of it: the item of a list; a member with its key. */
  span(path: string, range?: Diagnostic["range"]): Span;
  positionOf(offset: number): Position;
}

/** Every document of `text`. Never throws: what cannot be read is in the diagnostics. */
export function readPolicyFile(text: string, file: string): readonly PolicyDocument[] {
  const lines = new LineCounter();
  const options = { lineCounter: lines, prettyErrors: false, logLevel: "silent", merge: true } as const;
  const documents = parseAllDocuments(text, options);
  if (!Array.isArray(documents)) return [];
  const positionOf = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  return documents.map((document) => readDocument(document, text, positionOf));
}

/** `policy.yaml:12:15: ERR_NGROK_2200: ...` */
export function formatPlaced(diagnostic: PlacedDiagnostic): string {
  const { position, code, message } = diagnostic;
  return `${position.file}:${position.line}:${position.column}: ${code}: ${message}`;
}

/** Puts a diagnostic of a parser of `document.value` where it belongs in the file. */
export function place(document: PolicyDocument, diagnostic: Diagnostic): PlacedDiagnostic {
  const span = document.span(diagnostic.path, diagnostic.range);
  return { ...diagnostic, position: document.positionOf(span.start), span };
}

type PositionOf = (offset: number) => Position;

function readDocument(document: Document.Parsed, text: string, positionOf: PositionOf): PolicyDocument {
  // What follows the first is mostly its echo.
  const diagnostics: PlacedDiagnostic[] = document.errors.slice(0, 1).map((error) => ({
    severity: "error",
    code: "PODGATE_YAML_SYNTAX",
    path: "",
    message: `read as YAML: ${error.message}${advice(error)}`,
    position: positionOf(error.pos[0]),
    span: { start: error.pos[0], end: Math.max(error.pos[1], error.pos[0] + 1) },
  }));
  diagnostics.push(...droppedTags(document, text, positionOf));
  let value: unknown = null;
  try {
    if (document.errors.length === 0) value = document.toJS();
  } catch (thrown) {
    const message = `read as YAML: ${thrown instanceof Error ? thrown.message : "it cannot be expanded"}`;
    diagnostics.push({
      severity: "error",
      code: "PODGATE_YAML_SYNTAX",
      path: "",
      message,
      position: positionOf(0),
      span: { start: 0, end: 0 },
    });
  }
  const span = (path: string, range?: Diagnostic["range"]) => spanOf(document, text, path, range);
  return { value, diagnostics, span, positionOf, locate: (path) => positionOf(span(path).start) };
}

/** An expression without quotes is the likeliest of what YAML cannot read in a policy; the next is a slip in a line's start. */
function advice({ code, message }: Document.Parsed["errors"][number]): string {
  if (message === "Sequence item without - indicator") return ": indent the line like those it belongs to";
  if (code === "TAB_AS_INDENT") return ": indent with spaces";
  const unquoted =
    code === "BAD_SCALAR_START" ||
    message === "Unexpected scalar at node end" ||
    message.endsWith("between flow sequence items");
  return unquoted ? ": quote the whole expression ('...')" : "";
}

/**
 * `- !(x in ["a"])` is a tag and a rest to YAML; `- ! (x)` is a tag and the *opposite* of what was meant. kubectl drops
 * the tag without a word, so only the file can tell. Kubernetes objects have no use for tags of their own.
 */
function droppedTags(document: Document.Parsed, text: string, positionOf: PositionOf): PlacedDiagnostic[] {
  const found: PlacedDiagnostic[] = [];
  if (!text.includes("!")) return found;
  visit(document, {
    Node(_key, node) {
      const tag = "tag" in node ? node.tag : undefined;
      if (tag === undefined || !tag.startsWith("!")) return;
      const [valueStart, valueEnd] = node.range ?? [0, 0];
      const written = text.lastIndexOf(tag, valueStart);
      const start = written < 0 ? valueStart : written;
      found.push({
        severity: "error",
        code: "PODGATE_YAML_TAG",
        path: "",
        message: `YAML reads \`${tag}\` as a tag and drops it: quote the expression (- "!(...)")`,
        position: positionOf(start),
        span: { start, end: Math.max(valueEnd, start + tag.length) },
      });
    },
  });
  return found;
}

function spanOf(document: Document.Parsed, text: string, path: string, range: Diagnostic["range"]): Span {
  const { anchor, node, exact } = find(document, path);
  if (range !== undefined && exact && isScalar(node)) {
    const inside = writtenSpan(node, text, range);
    if (inside !== undefined) return inside;
  }
  const shown = headOf(anchor) ?? anchor;
  const start = shown?.range?.[0] ?? document.range[0];
  if (exact && isScalar(node) && node.range) return { start, end: Math.max(node.range[1], start) };
  return {
    start,
    end: isScalar(shown) ? (shown.range?.[1] ?? start) : isCollection(shown) ? start + 1 : start,
  };
}

/** Of an object or list, its beginning is shown: the first key, or the first item. */
function headOf(node: Node | undefined): Node | undefined {
  if (!isCollection(node)) return undefined;
  const [first] = node.items;
  const head: unknown = isMap(node) ? (first as Pair | undefined)?.key : first;
  return isScalar(head) && head.range ? head : undefined;
}

interface Found {
  /** What is written first: the key of an object's member, the item of a list. */
  readonly anchor: Node | undefined;
  readonly node: unknown;
  /** False: `node` is only the nearest above that exists. */
  readonly exact: boolean;
}

function find(document: Document.Parsed, path: string): Found {
  let node: unknown = document.contents;
  let anchor: Node | undefined = document.contents ?? undefined;
  for (const key of pathKeys(path)) {
    if (!isCollection(node)) return { anchor, node, exact: false };
    const pair = isMap(node)
      ? node.items.find((item) => isNode(item.key) && item.key.toJSON() === key)
      : undefined;
    const value: unknown = node.get(key, true);
    const next: unknown = pair?.key ?? value;
    if (!isNode(next) || !next.range) return { anchor, node, exact: false };
    anchor = next;
    node = value;
  }
  return { anchor, node, exact: true };
}
