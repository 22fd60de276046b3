/** Cuts a stream of bytes into lines. Works on bytes: a chunk may end inside a character. */

const NEWLINE = 0x0a;
/** etcd takes objects up to 1.5 MB; an event that is longer than this is not one. */
const MAX_LINE = 16 << 20;

export class Lines {
  #rest: Buffer[] = [];
  #length = 0;

  /** The lines that `chunk` completes, without their ends. Empty ones are left out. */
  *push(chunk: Buffer): Generator<string> {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      const line = Buffer.concat([...this.#rest, chunk.subarray(from, end)]).toString("utf8");
      this.#rest = [];
      this.#length = 0;
      from = end + 1;
      if (line.trim() !== "") yield line;
    }
    const rest = chunk.subarray(from);
    if (rest.length === 0) return;
    this.#length += rest.length;
    if (this.#length > MAX_LINE) throw new Error(`a line is longer than ${MAX_LINE} bytes`);
    this.#rest.push(rest);
  }
}
