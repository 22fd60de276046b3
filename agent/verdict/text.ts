/**
 * Text that a workload chose, made safe to look at. JSON keeps C0 characters out of the terminal; this keeps out
 * the rest that moves a cursor, hides or reorders text, or is no character: they appear as \u{..}.
 */
// C0, DEL and C1; soft hyphen; zero width and bidirectional marks; line and paragraph separators; BOM; surrogates alone.
const unsafe = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** A backslash becomes two, so that nobody can write an escape that was not one. */
export function visible(text: string): string {
  return inert(text.replaceAll("\\", "\\\\"));
}

/** Characters of one text that a line repeats: every line about a policy does, and there may be many. */
const MOST = 1024;

/** The beginning of a text of any length. */
export function shortened(text: string): string {
  return text.length > MOST ? `${text.slice(0, MOST)}...` : text;
}

/** The same for text that has its backslashes doubled already, or in which they mean themselves. */
export function inert(text: string): string {
  return text.replace(unsafe, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`);
}

/** A JSON text that means the same and can be looked at. In JSON raw characters of this kind stand in strings only. */
export function inertJson(text: string): string {
  return text
    .replace(/[\t\r\n]/g, " ")
    .replace(unsafe, (character) =>
      [...Array(character.length).keys()]
        .map((index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, "0")}`)
        .join(""),
    );
}
