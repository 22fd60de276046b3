/** Finds the `${...}` of a text. The expressions in them are not read here. */

/** Text as it is, or an expression with where it stands in the whole. */
export type Part = string | { readonly expression: string; readonly start: number };

/** The text's parts in order, or where a `${` begins that has no end. */
export function splitTemplate(text: string): readonly Part[] | { readonly unclosed: number } {
  const parts: Part[] = [];
  let from = 0;
  for (let open = text.indexOf("${"); open >= 0; open = text.indexOf("${", from)) {
    const close = endOfExpression(text, open + 2);
    if (close === undefined) return { unclosed: open };
    if (open > from) parts.push(text.slice(from, open));
    parts.push({ expression: text.slice(open + 2, close), start: open + 2 });
    from = close + 1;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}

/** Braces of maps are counted, those in string literals are not. */
function endOfExpression(text: string, from: number): number | undefined {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const character = text[at];
    if (character === "{") depth++;
    else if (character === "}" && depth-- === 0) return at;
    else if (character === '"' || character === "'") {
      const end = endOfLiteral(text, at);
      if (end === undefined) return undefined;
      at = end;
    }
  }
  return undefined;
}

/** Index of the last quote of the string literal whose first quote is at `from`. In a raw literal a backslash is one. */
function endOfLiteral(text: string, from: number): number | undefined {
  const mark = text.slice(from, from + 1);
  const quote = text.startsWith(mark.repeat(3), from) ? mark.repeat(3) : mark;
  const raw = /(^|[^A-Za-z0-9_])([bB]?[rR]|[rR][bB])$/.test(text.slice(Math.max(0, from - 3), from));
  for (let at = from + quote.length; at < text.length; at++) {
    if (text[at] === "\\" && !raw) at++;
    else if (text.startsWith(quote, at)) return at + quote.length - 1;
  }
  return undefined;
}
