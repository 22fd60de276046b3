const MAX_MESSAGE = 400;

/** Why an expression is refused: a sentence that says what to write, and where in the expression. */
export class ExpressionFault extends Error {
  override readonly name = "ExpressionFault";
  /** UTF-16 offsets into the expression; undefined when the whole of it is at fault. */
  readonly range: { readonly start: number; readonly end: number } | undefined;

  constructor(message: string, range?: { readonly start: number; readonly end: number }) {
    // Some of them quote the expression, which may be long.
    super(message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE)}...` : message);
    this.range = range && { start: range.start, end: Math.max(range.end, range.start) };
  }
}
