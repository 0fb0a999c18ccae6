import { describe, expect, it } from "vitest";
import { hostClock, setClock } from "../src/parts/clock";
import { ago, bytes, commandLine, duration, moment, parseBytes, parseDuration, plain, shortId } from "../src/parts/format";

describe("times", () => {
  it("knows the host's local time", () => {
    const change = Date.parse("2026-10-25T01:00:00Z") / 1000;
    setClock({ time: new Date(Date.now() + 60_000).toISOString(), utc_offsets: [{ since: 0, seconds: 7200 }, { since: change, seconds: 3600 }] }, Date.now());
    expect(moment("2026-10-24T14:00:00.5")).toBe(Date.parse("2026-10-24T12:00:00.5Z"));
    expect(moment("2026-11-23T14:00:00.5")).toBe(Date.parse("2026-11-23T13:00:00.5Z"));
    expect(Math.round(hostClock.aheadMs / 1000)).toBe(60);
    setClock({ time: new Date().toISOString(), utc_offsets: [] }, Date.now());
    expect([hostClock.aheadMs, moment("1970-01-01T00:00:01")]).toEqual([0, 1000]);
    expect(moment("2026-11-23T14:00:00Z")).toBe(Date.parse("2026-11-23T14:00:00Z"));
    expect(moment("2026-11-23T14:00:00+01:00")).toBe(Date.parse("2026-11-23T13:00:00Z"));
    expect([moment(10), moment(""), moment(null), moment("x")]).toEqual([10_000, null, null, null]);
  });
});

describe("figures", () => {
  it("has three digits at most", () => {
    expect([0, 999, 1000, 1530, 99_400, 1_500_000_000, null].map(bytes)).toEqual(["0 B", "999 B", "1.0 kB", "1.5 kB", "99.4 kB", "1.5 GB", "–"]);
    expect(bytes(999_999)).toBe("1.0 MB");
  });
  it("says the two largest units of a time", () => {
    expect([0, 59.4, 60, 3599, 7500, 90000].map(duration)).toEqual(["0 s", "59 s", "1 min", "59 min 59 s", "2 h 5 min", "1 d 1 h"]);
    expect(ago(0, 3_000)).toBe("just now");
    expect(ago(0, 185_000)).toBe("3 min ago");
    expect(ago(0, 7_500_000)).toBe("2 h ago");
  });
  it("reads what people write", () => {
    expect(["512M", "4G", "4 GiB", "1.5k", "10", "x", "4 X", "-1"].map(parseBytes)).toEqual([512e6, 4e9, 4 * 2 ** 30, 1500, 10, null, null, null]);
    expect(["90", "45s", "2h30m", "1d", "h", "5x"].map(parseDuration)).toEqual([90, 45, 9000, 86400, null, null]);
  });
});

describe("texts that users made", () => {
  it("shows nothing that a terminal would obey, and turns no direction around", () => {
    expect(plain("a\x1b[31mb\x1b]0;title\x07c\x1b(d")).toBe("abcd");
    expect(plain("x\u202ey\x00z")).toBe("x\ufffdy\ufffdz");
    expect(plain("two\nlines\tand <b>")).toBe("two\nlines\tand <b>");
    expect(plain(null)).toBe("");
  });
  it("shows a command as it was typed", () => {
    expect(commandLine("/bin/sh", ["-c", "a | b"])).toBe("a | b");
    expect(commandLine("python", ["train.py", "--name", "it's big"])).toBe("python train.py --name 'it'\\''s big'");
  });
  it("shortens a digest", () => expect(shortId("sha256:70d233ea2f528afbb2613f4b36ed448f")).toBe("70d233ea2f52"));
});
