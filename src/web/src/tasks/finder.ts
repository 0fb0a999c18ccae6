// Searches the rows there are, and only the new ones when more come.
import type { Rows } from "./output";

export interface Match {
  row: number; // counted from the first row there ever was
  column: number;
}

export const MOST_MATCHES = 10_000;

export class Finder {
  matches: Match[] = [];
  length = 0;
  #pattern: RegExp | null = null;
  #next = 0; // the first row that has not been searched, or may have changed since

  look(wanted: string): void {
    this.length = wanted.length;
    this.#pattern = wanted ? new RegExp(wanted.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "giu") : null;
    this.again();
  }

  /** All of it: rows have come before the first one. */
  again(): void {
    this.matches = [];
    this.#next = 0;
  }

  update(store: Rows): void {
    const gone = store.dropped;
    if (this.matches.length && this.matches[0]!.row < gone) this.matches = this.matches.filter(({ row }) => row >= gone);
    while (this.matches.length && this.matches.at(-1)!.row >= this.#next) this.matches.pop();
    if (!this.#pattern) return;
    for (let at = Math.max(0, this.#next - gone); at < store.rows.length; at++) this.#search(store.rows[at]!, at + gone);
    this.#next = store.settled + gone;
  }

  #search(text: string, row: number): void {
    const pattern = this.#pattern!;
    pattern.lastIndex = 0;
    while (this.matches.length < MOST_MATCHES) {
      const found = pattern.exec(text);
      if (!found) return;
      this.matches.push({ row, column: found.index });
    }
  }

  /** The first match in or after this row; -1 without any. */
  from(row: number): number {
    if (!this.matches.length) return -1;
    const at = this.matches.findIndex((match) => match.row >= row);
    return at < 0 ? 0 : at;
  }
}

export interface Part {
  text: string;
  hit: boolean;
  current: boolean;
}

/** A row in parts, of which some are matches. */
export function parts(text: string, columns: number[], length: number, current: number): Part[] {
  const result: Part[] = [];
  let at = 0;
  for (const column of columns) {
    if (column > at) result.push({ text: text.slice(at, column), hit: false, current: false });
    result.push({ text: text.slice(column, column + length), hit: true, current: column === current });
    at = column + length;
  }
  if (at < text.length) result.push({ text: text.slice(at), hit: false, current: false });
  return result;
}
