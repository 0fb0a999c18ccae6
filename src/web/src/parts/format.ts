// How figures, times and names look.
import { fromWall } from "./clock";

const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];

/** "1.5 GB"; three digits at most. */
export function bytes(count: number | null | undefined): string {
  if (count == null) return "–";
  let unit = 0;
  let value = count;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.5 ? Math.round(value) : value.toPrecision(value >= 10 ? 3 : 2)} ${UNITS[unit]}`;
}

/** "2 h 5 min", "45 s": the two largest units. */
export function duration(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return two(s, 60, "min", 1, "s");
  if (s < 86400) return two(s, 3600, "h", 60, "min");
  return two(s, 86400, "d", 3600, "h");
}

function two(value: number, big: number, bigName: string, small: number, smallName: string): string {
  const rest = Math.floor((value % big) / small);
  return `${Math.floor(value / big)} ${bigName}` + (rest ? ` ${rest} ${smallName}` : "");
}

/** "3 min ago"; `now` and the time in milliseconds. */
export function ago(time: number, now: number): string {
  const seconds = (now - time) / 1000;
  if (seconds < 5) return "just now";
  const text = duration(seconds);
  return (seconds < 3600 ? text.replace(/ \d+ s$/, "") : text.split(" ").slice(0, 2).join(" ")) + " ago";
}

const DATE = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

/** Milliseconds, of an RFC 3339 text, the host's local time (which tasks and nodes have without saying so, as HakuRiver's clients expect), or unix seconds. */
export function moment(time: string | number | null | undefined): number | null {
  if (time == null || time === "") return null;
  if (typeof time === "number") return time * 1000;
  const local = !/(z|[+-]\d\d:?\d\d)$/i.test(time);
  const value = local ? fromWall(Date.parse(time + "Z")) : Date.parse(time);
  return Number.isNaN(value) ? null : value;
}

export function date(time: string | number | null | undefined): string {
  const value = moment(time);
  return value === null ? "–" : DATE.format(value);
}

export function percent(value: number | null | undefined): string {
  return value == null ? "–" : `${Math.round(value)} %`;
}

export function count(n: number, one: string, many = one + "s"): string {
  return `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
}

/** "sha256:70d233ea2f52" of a whole digest. */
export function shortId(id: string | null | undefined): string {
  return id ? id.replace(/^(sha256:)?(.{12}).*$/, "$2") : "–";
}

/** A task's command as a person has typed it. */
export function commandLine(command: string, args: string[]): string {
  if (/^(\/bin\/)?(ba|da)?sh$/.test(command) && args.length === 2 && /^-l?c$/.test(args[0]!)) return args[1]!;
  return [command, ...args].map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ");
}

/** Without what a terminal would obey: names and messages come from anywhere. Vue escapes what is HTML. */
export function plain(text: string | null | undefined): string {
  // eslint-disable-next-line no-control-regex
  return (text ?? "").replace(/\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)?/g, "").replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}

const SIZES: Record<string, number> = { "": 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12, ki: 2 ** 10, mi: 2 ** 20, gi: 2 ** 30, ti: 2 ** 40 };

/** "512M", "4 GiB" in bytes; null for what is none. The command line takes the same. */
export function parseBytes(text: string): number | null {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*$/i.exec(text);
  return match ? Math.round(Number(match[1]) * SIZES[(match[2] ?? "").toLowerCase()]!) : null;
}

/** "90", "45s", "2h30m", "1d" in seconds; null for what is none. */
export function parseDuration(text: string): number | null {
  const trimmed = text.trim().toLowerCase().replace(/\s+/g, "");
  if (/^\d+$/.test(trimmed)) return Number(trimmed);
  if (!/^(\d+[dhms])+$/.test(trimmed)) return null;
  const seconds: Record<string, number> = { d: 86400, h: 3600, m: 60, s: 1 };
  return [...trimmed.matchAll(/(\d+)([dhms])/g)].reduce((sum, [, n, unit]) => sum + Number(n) * seconds[unit!]!, 0);
}
