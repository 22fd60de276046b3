/**
 * YAML reads an unquoted `- !(x in ["a"])` as the tag `!(x` on the text `in ["a"])`, and drops the tag. What is left
 * comes from the API server like any other text; this recognises it.
 */

/** What to do about `text`, an expression that did not compile; undefined when YAML is not the likely cause. */
export function quotingAdvice(text: string): string | undefined {
  const start = /^\s*(in\b|[=!<>]=|[<>]|&&|\|\||[+*/%?.)\]])/.exec(text)?.[1];
  const fault =
    text.trim() === ""
      ? "is empty"
      : start !== undefined
        ? `begins with \`${start}\``
        : closesTooOften(text)
          ? "closes a parenthesis it did not open"
          : undefined;
  if (fault === undefined) return undefined;
  return `the expression ${fault}, which is what YAML leaves of an unquoted \`!\`: quote the expression (- "!(...)")`;
}

function closesTooOften(text: string): boolean {
  let open = 0;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[()]/g)) {
    if (token === "(") open++;
    if (token === ")" && --open < 0) return true;
  }
  return false;
}
