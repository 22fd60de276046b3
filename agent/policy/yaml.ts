/** Reads YAML files that hold policies or Kubernetes objects, and says where in the file a fault is. */
import { type Document, isCollection, isMap, isNode, LineCounter, parseAllDocuments, visit } from "yaml";
import type { Diagnostic } from "../model/diagnostic.ts";
import { pathKeys } from "./json-path.ts";

/** Line and column count from 1. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface PlacedDiagnostic extends Diagnostic {
  readonly position: Position;
}

export interface PolicyDocument {
  /** What `kubectl apply` would send; null when the YAML is broken. */
  readonly value: unknown;
  /** Faults of the YAML itself: what a parser of `value` cannot see any more. */
  readonly diagnostics: readonly PlacedDiagnostic[];
  /** Where the value at a JSON path begins, or what is nearest above it. */
  locate(path: string): Position;
}

/** Every document of `text`. Never throws: what cannot be read is in the diagnostics. */
export function readPolicyFile(text: string, file: string): readonly PolicyDocument[] {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, logLevel: "silent" });
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
  return { ...diagnostic, position: document.locate(diagnostic.path) };
}

type PositionOf = (offset: number) => Position;

function readDocument(document: Document.Parsed, text: string, positionOf: PositionOf): PolicyDocument {
  const diagnostics: PlacedDiagnostic[] = document.errors.map((error) => ({
    severity: "error",
    code: "PODGATE_YAML_SYNTAX",
    path: "",
    message: `read as YAML: ${error.message}`,
    position: positionOf(error.pos[0]),
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
    });
  }
  return { value, diagnostics, locate: (path) => positionOf(offsetOf(document, path)) };
}

/**
 * `- !(x in ["a"])` is a tag and a rest to YAML; `- ! (x)` is a tag and the *opposite* of what was meant. kubectl drops
 * the tag without a word, so only the file can tell. Kubernetes objects have no use for tags of their own.
 */
function droppedTags(document: Document.Parsed, text: string, positionOf: PositionOf): PlacedDiagnostic[] {
  const found: PlacedDiagnostic[] = [];
  visit(document, {
    Node(_key, node) {
      const tag = "tag" in node ? node.tag : undefined;
      if (tag === undefined || !tag.startsWith("!")) return;
      const start = node.range?.[0] ?? 0;
      const written = text.lastIndexOf(tag, start);
      found.push({
        severity: "error",
        code: "PODGATE_YAML_TAG",
        path: "",
        message: `YAML reads \`${tag}\` as a tag and drops it: quote the expression (- "!(...)")`,
        position: positionOf(written < 0 ? start : written),
      });
    },
  });
  return found;
}

/** Of a list's item where it begins, of an object's member where its key begins; else of the nearest above that exists. */
function offsetOf(document: Document.Parsed, path: string): number {
  let node: unknown = document.contents;
  let offset = document.contents?.range?.[0] ?? document.range[0];
  for (const key of pathKeys(path)) {
    if (!isCollection(node)) break;
    const pair = isMap(node)
      ? node.items.find((item) => isNode(item.key) && item.key.toJSON() === key)
      : undefined;
    const value: unknown = node.get(key, true);
    const anchor: unknown = pair?.key ?? value;
    if (!isNode(anchor) || !anchor.range) break;
    offset = anchor.range[0];
    node = value;
  }
  return offset;
}
