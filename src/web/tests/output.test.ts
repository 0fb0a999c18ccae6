import { describe, expect, it } from "vitest";
import { Finder, parts } from "../src/tasks/finder";
import { Decoder, ROW_LENGTH, Rows, beforeLine, parsePosition, textOf } from "../src/tasks/output";

function rowsOf(...pieces: string[]): string[] {
  const store = new Rows();
  for (const piece of pieces) store.add(piece);
  return store.rows;
}

describe("rows", () => {
  it("splits at line ends, wherever the pieces are cut", () => {
    expect(rowsOf("a\nb", "c\n", "\n", "d")).toEqual(["a", "bc", "", "d"]);
    expect(rowsOf("a\r", "\nb\r\n")).toEqual(["a", "b"]);
  });

  it("shows a long line in several rows", () => {
    const store = new Rows();
    store.add("x".repeat(10_000_000) + "\ny\n");
    expect(store.rows.length).toBe(10_000_000 / ROW_LENGTH + 1);
    expect(store.rows.at(-1)).toBe("y");
    expect(store.longest).toBe(ROW_LENGTH);
  });

  it("makes the same rows of a long line that comes in small pieces", () => {
    expect(rowsOf(...Array.from({ length: 50 }, () => "y".repeat(100)), "\nz").map((row) => row.length)).toEqual([2000, 2000, 1000, 1]);
  });

  it("adds no row for a line exactly as long as one", () => {
    expect(rowsOf("x".repeat(ROW_LENGTH) + "\nb").map((row) => row.length)).toEqual([ROW_LENGTH, 1]);
  });

  it("does not cut a character in half", () => {
    const rows = rowsOf("x".repeat(ROW_LENGTH - 1) + "😀b");
    expect(rows[1]).toBe("😀b");
  });

  it("overwrites after a carriage return", () => {
    expect(rowsOf("10%", "\r20%", "\r100%\n", "done")).toEqual(["100%", "done"]);
    expect(rowsOf("abcdef\rXY")).toEqual(["XYcdef"]);
    expect(rowsOf("abcdef\rXY\x1b[K")).toEqual(["XY"]);
    expect(rowsOf("abc\b\bX")).toEqual(["aXc"]);
  });

  it("takes escapes out, also when they are cut", () => {
    expect(rowsOf("\x1b[31mred\x1b[0m \x1b]0;title\x07x\x1b]8;;http://a\x1b\\y")).toEqual(["red xy"]);
    expect(rowsOf("a\x1b", "[3", "1mb\x1b]0;ti", "tle", "\x07c")).toEqual(["abc"]);
  });

  it("does not wait for the end of an escape for ever", () => {
    const store = new Rows();
    store.add("\x1b]" + "x".repeat(10_000));
    expect(store.rows.length).toBeGreaterThan(0);
  });

  it("leaves nothing that a screen would obey", () => {
    expect(rowsOf("a\x00b\u202ec\td")).toEqual(["a\ufffdb\ufffdc\td"]);
  });

  it("keeps so many rows and counts what it dropped", () => {
    const store = new Rows(100);
    for (let i = 0; i < 1000; i++) store.add(`line ${i}\n`);
    expect(store.rows.length).toBeLessThanOrEqual(100);
    expect(store.rows.at(-1)).toBe("line 999");
    expect(store.rows[0]).toBe(`line ${store.dropped}`);
    expect(store.full).toBe(true);
  });

  it("takes what was before", () => {
    const store = new Rows();
    store.add("c\n");
    store.prepend(["a", "b"]);
    store.add("d\n");
    expect(store.rows).toEqual(["a", "b", "c", "d"]);
  });
});

describe("bytes", () => {
  it("joins characters that are cut between pieces", () => {
    const bytes = new TextEncoder().encode("a€😀z");
    for (let cut = 0; cut <= bytes.length; cut++) {
      const decoder = new Decoder();
      expect(decoder.bytes(bytes.slice(0, cut)) + decoder.bytes(bytes.slice(cut)) + decoder.end()).toBe("a€😀z");
    }
  });

  it("shows half a character before a text as what it is", () => {
    const decoder = new Decoder();
    expect(textOf({ base64: btoa("a\xe2\x82") }, decoder) + textOf({ text: "b" }, decoder)).toBe("a\ufffdb");
    expect(textOf({ text: "€" }, decoder)).toBe("€");
  });

  it("finds where a line begins", () => {
    const encode = (text: string) => new TextEncoder().encode(text);
    expect(beforeLine(encode("rest\nnext"))).toBe(5);
    expect(beforeLine(encode("no line here"))).toBe(0);
    expect(beforeLine(encode("€ x").slice(1))).toBe(2);
    expect(beforeLine(new Uint8Array())).toBe(0);
  });
});

describe("positions", () => {
  it("reads ids", () => {
    expect(parsePosition("2-4096-7")).toEqual({ attempt: 2, stdout: 4096, stderr: 7, over: false });
    expect(parsePosition("1-0-0-end")?.over).toBe(true);
    expect(parsePosition("")).toBeNull();
  });
});

describe("search", () => {
  it("finds all, in any case, and only looks at what is new", () => {
    const store = new Rows();
    const finder = new Finder();
    store.add("Error one\nfine\nan error, an ERROR\nerr");
    finder.look("error");
    finder.update(store);
    expect(finder.matches).toEqual([{ row: 0, column: 0 }, { row: 2, column: 3 }, { row: 2, column: 13 }]);
    store.add("or\n");
    finder.update(store);
    finder.update(store);
    expect(finder.matches.length).toBe(4);
    expect(finder.from(1)).toBe(1);
    expect(finder.from(9)).toBe(0);
  });

  it("takes what is searched for literally", () => {
    const store = new Rows();
    const finder = new Finder();
    store.add("a.b\nacb\n(x\n");
    finder.look("a.b");
    finder.update(store);
    expect(finder.matches.length).toBe(1);
    finder.look("(");
    finder.update(store);
    expect(finder.matches.length).toBe(1);
  });

  it("forgets matches in rows that were dropped", () => {
    const store = new Rows(100);
    const finder = new Finder();
    finder.look("line");
    for (let i = 0; i < 500; i++) {
      store.add(`line ${i}\n`);
      finder.update(store);
    }
    expect(finder.matches.length).toBe(store.rows.length);
    expect(finder.matches[0]!.row).toBe(store.dropped);
  });

  it("cuts a row at its matches", () => {
    expect(parts("xaay", [1, 2], 1, 2).map(({ text, hit, current }) => [text, hit, current])).toEqual([["x", false, false], ["a", true, false], ["a", true, true], ["y", false, false]]);
  });
});
