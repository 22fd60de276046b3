/** One evaluation of a policy under way: the values its expressions see, and what its actions have left behind. */
import type { LogMetadata } from "../model/verdict.ts";
import type { ResultName } from "./environment.ts";
import type { Rule } from "./policy.ts";
import { type Facts, unknownOf, variableValues } from "./variables.ts";

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

export interface Run {
  readonly facts: Facts;
  readonly resolve: Resolve;
  /** Changes as actions set variables. */
  readonly values: Readonly<Record<string, unknown>>;
  readonly log: LogMetadata[];
  readonly observer: Observer | undefined;
  /** A `terminate-tls` has been passed. */
  endsTls: boolean;
  /** Those of `reads` that are not known, or undefined if all are. */
  missing(reads: ReadonlySet<string>): readonly string[] | undefined;
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
  return {
    facts,
    resolve,
    values: { ...variableValues(facts), vars, actions: { ngrok: results } },
    log: [],
    observer,
    endsTls: false,
    missing: (names) => {
      if (unknown.size === 0) return undefined;
      const needs = [...names].filter((name) => unknown.has(name));
      return needs.length > 0 ? needs : undefined;
    },
    setVar: (name, value) => {
      vars[name] = value;
    },
    setResult: (name, result) => {
      results[name] = result;
    },
  };
}
