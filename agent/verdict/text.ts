/**
 * Text that a workload chose, made safe to look at. JSON keeps C0 characters out of the terminal; this keeps out
 * the rest that moves a cursor, hides or reorders text, or is no character: they appear as \u{..}.
 */
// C0, DEL and C1; soft hyphen; zero width and bidirectional marks; line and paragraph separators; BOM; surrogates alone.
const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** A backslash becomes two, so that nobody can write an escape that was not one. */
export function visible(text: string): string {
  return text
    .replaceAll("\\", "\\\\")
    .replace(unsafe, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}
