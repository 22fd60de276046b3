/**
 * Text that a workload chose, made safe to look at. JSON keeps C0 characters out of the terminal; this keeps out
 * the rest that moves a cursor, hides or reorders text, or is no character: they appear as \u{..}.
 */
// C0, DEL and C1; soft hyphen; zero width and bidirectional marks; line and paragraph separators; BOM; surrogates alone.
const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** A backslash becomes two, so that nobody can write an escape that was not one. */
export function visible(text: string): string {
  return escaped(text.replaceAll("\\", "\\\\"));
}

/** Characters of one text that a line repeats: every line about a policy does, and there may be many. */
const MOST = 1024;

/** The beginning of a text of any length. */
export function shortened(text: string): string {
  return text.length > MOST ? `${text.slice(0, MOST)}...` : text;
}

/** As `visible`, for what is to be compared with its source: backslashes stay as they are. */
export function escaped(text: string): string {
  return text.replace(unsafe, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}
