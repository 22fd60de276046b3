/** Shapes of the engine's syntax tree that more than one pass needs. Macros are calls here; the engine's checker expands them itself. */
import type { ASTNode } from "@marcbachmann/cel-js";

export type { ASTNode };

/** Macros that bind their first argument to each element of the list, or key of the map, they are called on. */
export const COMPREHENSIONS: ReadonlySet<string> = new Set(["all", "exists", "exists_one", "filter", "map"]);

/** Every direct operand, in the order written. */
export function operands(node: ASTNode): readonly ASTNode[] {
  switch (node.op) {
    case "value":
    case "id":
      return [];
    case ".":
    case ".?":
      return [node.args[0]];
    case "call":
      return node.args[1];
    case "rcall":
      return [node.args[1], ...node.args[2]];
    case "map":
      return node.args.flat();
    case "!_":
    case "-_":
      return [node.args];
    default:
      return node.args;
  }
}

/** `a.b.c` as its words, with the node that ends at each; undefined where the chain does not start at a name. */
export function selectChain(node: ASTNode): { word: string; node: ASTNode }[] | undefined {
  const steps: { word: string; node: ASTNode }[] = [];
  let at = node;
  while (at.op === ".") {
    steps.push({ word: at.args[1], node: at });
    at = at.args[0];
  }
  if (at.op !== "id") return undefined;
  steps.push({ word: at.args, node: at });
  return steps.reverse();
}
