/** One evaluation of a policy under way: the values its expressions see, and what its actions have left behind. */
import type { LogMetadata } from "../model/verdict.ts";
import type { ResultName } from "./environment.ts";
import type { Expression, Rule } from "./policy.ts";
import { CHANCE, type Facts, unknownOf, variableValues } from "./variables.ts";

/** Why a forward leads nowhere; undefined if it leads somewhere. */
export type Resolve = (url: string) => { readonly code: string; readonly message: string } | undefined;

/** Sees an evaluation as it goes, for who explains it. */
export interface Observer {
  /** `needs`: it hangs on these, which are not known, and was not asked. `values`: as they are now. */
  expression(
    rule: Rule,
    index: number,
    result: boolean | Error | { readonly needs: readonly string[] },
    values: object,
  ): void;
}

/** Instead of a value: it hangs on these, which are not known. */
export class Missing {
  readonly needs: readonly string[];

  constructor(needs: readonly string[]) {
    this.needs = needs;
  }
}

export interface Run {
  readonly facts: Facts;
  readonly resolve: Resolve;
  /** Changes as actions set variables. */
  readonly values: Readonly<Record<string, unknown>>;
  readonly log: LogMetadata[];
  readonly observer: Observer | undefined;
  /** A `terminate-tls` has been passed. */
  endsTls: boolean;
  /** Its value or the Error that keeps it from having one; never throws. */
  valueOf(piece: Pick<Expression, "reads" | "evaluate">): unknown;
  setVar(name: string, value: unknown): void;
  /** Replaces what the last such action left. */
  setResult(name: ResultName, result: unknown): void;
}

export function beginRun(
  reads: ReadonlySet<string>,
  facts: Facts,
  resolve: Resolve,
  observer?: Observer,
): Run {
  const unknown = unknownOf(reads, facts);
  const vars: Record<string, unknown> = Object.create(null);
  const results: Record<string, unknown> = Object.create(null);
  const values = { ...variableValues(facts), vars, actions: { ngrok: results } };
  return {
    facts,
    resolve,
    values,
    log: [],
    observer,
    endsTls: false,
    valueOf: (piece) => {
      const needs = unknown.size === 0 ? [] : [...piece.reads].filter((name) => unknown.has(name));
      // Chance would answer, each time something else.
      if (needs.includes(CHANCE)) return new Missing(needs);
      const value = evaluated(piece, values);
      // What is not known is an error to whoever reads it. Where the others decide, nobody does, or `&&` or `||` absorbs it.
      return needs.length > 0 && value instanceof Error ? new Missing(needs) : value;
    },
    setVar: (name, value) => {
      vars[name] = value;
    },
    setResult: (name, result) => {
      results[name] = result;
    },
  };
}

function evaluated({ evaluate }: Pick<Expression, "evaluate">, values: object): unknown {
  try {
    return evaluate(values);
  } catch (thrown) {
    return thrown instanceof Error ? thrown : new Error("the expression failed");
  }
}
