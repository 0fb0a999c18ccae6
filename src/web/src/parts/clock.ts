// The host's clock, by which everything on the page is told: the browser may be in another time zone, and its own clock may be wrong.
import { reactive } from "vue";
import type { HostVersion } from "../api/types";

const AGREE_MS = 2000; // nearer than this, the difference is the network's

export const hostClock = reactive({
  aheadMs: 0, // of the browser's
  offsets: [] as HostVersion["utc_offsets"], // oldest first
});

export const hostNow = () => Date.now() + hostClock.aheadMs;

/** From an answer of the host that was asked for at `asked` (by the browser's clock). */
export function setClock(host: Pick<HostVersion, "time" | "utc_offsets">, asked: number): void {
  const ahead = Date.parse(host.time) - (asked + Date.now()) / 2;
  hostClock.aheadMs = Math.abs(ahead) < AGREE_MS ? 0 : ahead;
  hostClock.offsets = host.utc_offsets;
}

/** Milliseconds, of what the host's clock on the wall showed, as if it had been UTC. */
export function fromWall(wall: number): number {
  const offset = hostClock.offsets.filter(({ since, seconds }) => wall / 1000 - seconds >= since).at(-1) ?? hostClock.offsets[0];
  return wall - (offset?.seconds ?? 0) * 1000;
}
