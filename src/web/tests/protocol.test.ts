import { describe, expect, it } from "vitest";
import { InputWindow, OutputWindow, parse, resize } from "../src/terminal/protocol";

const frame = (...bytes: number[]) => Uint8Array.from(bytes).buffer;

describe("frames", () => {
  it("reads what a host sends", () => {
    expect(parse(frame(7))).toEqual({ kind: "ready" });
    expect(parse(frame(0, 65, 66))).toEqual({ kind: "output", bytes: Uint8Array.from([65, 66]) });
    expect(parse(frame(8, 0, 0, 0, 0, 0, 0, 0, 9, 65))).toEqual({ kind: "output", bytes: Uint8Array.from([65]) });
    expect(parse(frame(5, 0, 0, 0, 7))).toEqual({ kind: "exit", status: 7 });
    expect(parse(frame(6, 0x6e, 0x6f))).toEqual({ kind: "failure", text: "no" });
  });
  it("ignores what it does not know", () => {
    for (const odd of [frame(), frame(99, 1), frame(5, 1), frame(4), frame(8, 1)]) expect(parse(odd)).toEqual({ kind: "unknown" });
  });
  it("is big-endian", () => expect([...resize(24, 300)]).toEqual([2, 0, 24, 1, 44]));
});

describe("windows", () => {
  it("reports output by quarters", () => {
    const sent: Uint8Array[] = [];
    const window = new OutputWindow((bytes) => sent.push(bytes));
    for (let i = 0; i < 5; i++) window.shown(60_000);
    expect(sent.length).toBe(1);
    expect(new DataView(sent[0]!.buffer).getUint32(1)).toBe(180_000);
  });
  it("keeps a paste until there is room, and every byte of it in order", () => {
    const sent: number[] = [];
    const window = new InputWindow((bytes) => bytes.subarray(1).forEach((byte) => sent.push(byte)));
    const paste = Uint8Array.from({ length: 600_000 }, (_, i) => i % 251);
    window.write(paste);
    expect(sent.length).toBe(256 * 1024);
    window.taken(100_000);
    expect(sent.length).toBe(256 * 1024 + 100_000);
    window.taken(256 * 1024);
    expect(sent.length).toBe(paste.length);
    expect(sent.every((byte, i) => byte === paste[i])).toBe(true);
  });
});
