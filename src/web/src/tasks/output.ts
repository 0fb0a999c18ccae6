// What a task has written, as rows of bounded length: pure logic, so that ten megabytes in one line are no different from many lines.

export const ROW_LENGTH = 2000;
export const MOST_ROWS = 200_000;
const DROP_ROWS = 10_000; // at once, because each drop moves all that stay
const LONGEST_ESCAPE = 4096; // what is longer is no escape, and must not swallow the output

/* eslint-disable no-control-regex */
// A sequence for a terminal, or a character that moves within the line.
const SPECIAL = /\x1b(?:\[([0-?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]+[0-~]|[0-OQ-WYZ\\`-~])|[\n\r\b]/g;
const UNFINISHED = /\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?|[PX^_][^\x1b]*\x1b?|[ -/]*)$/;
// What is left would show nothing, or turn what follows around.
const UNSEEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;
/* eslint-enable no-control-regex */

export class Rows {
  rows: string[] = [];
  /** How many were taken away at the beginning. */
  dropped = 0;
  /** The longest row so far, which tells how far one can scroll to the side. */
  longest = 0;
  #open = false; // the last row is still being written
  #column = 0;
  #escape = ""; // the beginning of one whose rest has not come

  constructor(private readonly most = MOST_ROWS) {}

  add(piece: string): void {
    let text = this.#escape + piece;
    this.#escape = "";
    const unfinished = text.includes("\x1b", Math.max(0, text.length - LONGEST_ESCAPE)) ? UNFINISHED.exec(text.slice(-LONGEST_ESCAPE)) : null;
    if (unfinished) {
      this.#escape = unfinished[0];
      text = text.slice(0, text.length - this.#escape.length);
    }
    let from = 0;
    SPECIAL.lastIndex = 0;
    for (let found = SPECIAL.exec(text); found; found = SPECIAL.exec(text)) {
      this.#write(text.slice(from, found.index));
      from = found.index + found[0].length;
      if (found[0] === "\n") this.#end();
      else if (found[0] === "\r") this.#column = 0;
      else if (found[0] === "\b") this.#column = Math.max(0, this.#column - 1);
      else if (found[2] === "K") this.#erase(found[1]!);
    }
    this.#write(text.slice(from));
    this.#bound();
  }

  /** Rows of what was written before the first one. */
  prepend(earlier: string[]): void {
    this.rows = earlier.concat(this.rows);
    for (const row of earlier) this.longest = Math.max(this.longest, row.length);
  }

  get full(): boolean {
    return this.dropped > 0 || this.rows.length >= this.most;
  }

  /** The row from which on rows may still change. */
  get settled(): number {
    return this.#open ? this.rows.length - 1 : this.rows.length;
  }

  #write(raw: string): void {
    if (!raw) return;
    const text = raw.replace(UNSEEN, "\ufffd");
    for (let at = 0; at < text.length; ) {
      if (!this.#open) {
        this.rows.push("");
        this.#open = true;
        this.#column = 0;
      }
      let end = Math.min(text.length, at + ROW_LENGTH - this.#column);
      if (end < text.length && end > at + 1 && isHighSurrogate(text.charCodeAt(end - 1))) end--;
      const last = this.rows.length - 1;
      const row = this.rows[last]!;
      const next = row.slice(0, this.#column) + text.slice(at, end) + row.slice(this.#column + end - at);
      this.rows[last] = next;
      this.#column += end - at;
      this.longest = Math.max(this.longest, next.length);
      at = end;
      if (at < text.length || this.#column >= ROW_LENGTH) this.#full();
    }
  }

  /** The line goes on in a row of its own, when more of it comes. */
  #full(): void {
    this.rows.push("");
    this.#column = 0;
  }

  #end(): void {
    if (!this.#open) this.rows.push("");
    else if (this.#column === 0 && this.rows.length > 1 && this.rows.at(-1) === "" && this.rows.at(-2)!.length >= ROW_LENGTH - 1) this.rows.pop(); // it was exactly as long as a row
    this.#open = false;
    this.#column = 0;
  }

  #erase(what: string): void {
    const last = this.rows.length - 1;
    if (!this.#open) return;
    if (what === "" || what === "0") this.rows[last] = this.rows[last]!.slice(0, this.#column);
    else if (what === "2") this.rows[last] = " ".repeat(this.#column);
  }

  #bound(): void {
    if (this.rows.length <= this.most) return;
    const gone = this.rows.length - this.most + Math.min(DROP_ROWS, this.most >> 1);
    this.rows.splice(0, gone);
    this.dropped += gone;
  }
}

const isHighSurrogate = (code: number) => code >= 0xd800 && code < 0xdc00;

/** Bytes as text, whatever place they were cut at. */
export class Decoder {
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #encoder = new TextEncoder();
  #cut = false; // the last bytes may be half a character

  bytes(bytes: Uint8Array): string {
    this.#cut = bytes.length > 0 ? bytes.at(-1)! >= 0x80 : this.#cut;
    return this.#decoder.decode(bytes, { stream: true });
  }

  text(text: string): string {
    if (!this.#cut) return text;
    return this.bytes(this.#encoder.encode(text));
  }

  end(): string {
    this.#cut = false;
    return this.#decoder.decode();
  }
}

/** What one event brings: `{"text"}`, or `{"base64"}` where it is not UTF-8. */
export function textOf(piece: { text?: string; base64?: string }, decoder: Decoder): string {
  return piece.base64 === undefined ? decoder.text(piece.text ?? "") : decoder.bytes(Uint8Array.from(atob(piece.base64), (character) => character.charCodeAt(0)));
}

export interface Position {
  attempt: number;
  stdout: number;
  stderr: number;
  over: boolean;
}

/** Of the id of an event: "2-4096-0", "2-4096-0-end". */
export function parsePosition(id: string): Position | null {
  const match = /^(\d+)-(\d+)-(\d+)(-end)?$/.exec(id);
  return match ? { attempt: Number(match[1]), stdout: Number(match[2]), stderr: Number(match[3]), over: match[4] !== undefined } : null;
}

/** How many bytes at the beginning belong to a line that began before. Where no line begins in them: to half a character. */
export function beforeLine(bytes: Uint8Array): number {
  const end = bytes.indexOf(10);
  if (end >= 0 && end < bytes.length - 1) return end + 1;
  let at = 0;
  while (at < Math.min(3, bytes.length) && (bytes[at]! & 0xc0) === 0x80) at++;
  return at;
}
