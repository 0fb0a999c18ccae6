// Sums and texts over nodes that several pages show.
import type { Node } from "../api/types";
import { bytes } from "../parts/format";

/** A silent node promises nothing; the host then says "N/A". */
export const coresInUse = (node: Node) => (typeof node.cores_in_use === "number" ? node.cores_in_use : 0);

/** Whole cores as they are, else one digit. */
export const cores = (n: number) => (Number.isInteger(n) ? String(n) : n.toFixed(1));

const BUSY_PERCENT = 5; // below it is a driver that looks at itself
export const isBusy = (gpu: Node["gpu_info"][number]) => gpu.gpu_utilization >= BUSY_PERCENT;

export const sum = <T>(list: T[], of: (item: T) => number) => list.reduce((total, item) => total + of(item), 0);

/** "1.6 of 25.3 GB" */
export function bytesOf(part: number, whole: number): string {
  const [a, b] = [bytes(part), bytes(whole)];
  const unit = b.slice(b.indexOf(" "));
  return `${a.endsWith(unit) ? a.slice(0, -unit.length) : a} of ${b}`;
}

export const MIB = 2 ** 20;

/** "0–3, 8": cores as people write them. */
export function ranges(numbers: number[]): string {
  const sorted = [...new Set(numbers)].sort((a, b) => a - b);
  const out: string[] = [];
  for (let i = 0; i < sorted.length; ) {
    let end = i;
    while (sorted[end + 1] === sorted[end]! + 1) end++;
    out.push(end === i ? `${sorted[i]}` : end === i + 1 ? `${sorted[i]}, ${sorted[end]}` : `${sorted[i]}–${sorted[end]}`);
    i = end + 1;
  }
  return out.join(", ");
}

export const nodeLink = (name: string) => `/nodes/${encodeURIComponent(name)}`;

/** Does the work for all of them, a few at a time: a page must not keep the host busy. */
export async function eachOf<T, R>(items: T[], work: (item: T) => Promise<R>, atOnce = 3): Promise<R[]> {
  const results: R[] = new Array(items.length);
  let next = 0;
  const one = async () => {
    while (next < items.length) {
      const at = next++;
      results[at] = await work(items[at]!);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, one));
  return results;
}
