// How busy the nodes were: the host's minutes once, and from then on those that the live stream tells.
import { onScopeDispose, shallowRef, watch, type Ref, type ShallowRef } from "vue";
import { get } from "../api/client";
import { nodes, onEvent } from "../api/live";
import { hostNow } from "../parts/clock";
import type { Node, NodesHistory } from "../api/types";

export const STEP = 60; // seconds
export const HOURS = [1, 3, 12, 24];
const SHOW_MS = 5000; // the newest minute moves no faster than this

export interface Point {
  cpu: number | null;
  memory: number | null;
  gpu: number | null;
}
export type Measure = keyof Point;
export const MEASURES: Measure[] = ["cpu", "memory", "gpu"];

/** By when a minute began, in unix seconds. */
export type Minutes = Map<number, Point>;
/** By the name of the node. */
export type Past = Map<string, Minutes>;
/** How much of the cluster a node is, for each measure. */
export type Weight = Record<Measure, number>;

export function pastOf(answer: NodesHistory): Past {
  const past: Past = new Map();
  for (const [name, told] of Object.entries(answer.nodes)) {
    const minutes: Minutes = new Map();
    told.cpu_percent.forEach((cpu, i) => {
      const point = { cpu, memory: told.memory_percent[i] ?? null, gpu: told.gpu_percent[i] ?? null };
      if (MEASURES.some((measure) => point[measure] !== null)) minutes.set(told.start + i * answer.step_seconds, point);
    });
    past.set(name, minutes);
  }
  return past;
}

/** What `fresh` says, and before it what was known: a host that was restarted has forgotten its past. */
export function merged(old: Past, fresh: Past, from: number): Past {
  const past: Past = new Map();
  for (const name of new Set([...old.keys(), ...fresh.keys()])) {
    const all = [...(old.get(name) ?? []), ...(fresh.get(name) ?? [])].filter(([time]) => time >= from);
    if (all.length) past.set(name, new Map(all.sort(([a], [b]) => a - b)));
  }
  return past;
}

export function weightOf(node: Node): Weight {
  return { cpu: node.total_cores, memory: node.memory_total_bytes, gpu: node.gpu_info.length };
}

/** Of all nodes with a weight: large machines count for more. A node that was silent counts for nothing then. */
export function meanOver(past: Past, weights: Map<string, Weight>): Minutes {
  const sums = new Map<number, Record<Measure, { sum: number; weight: number }>>();
  for (const [name, minutes] of past) {
    const weight = weights.get(name);
    if (!weight) continue;
    for (const [time, point] of minutes) {
      let at = sums.get(time);
      if (!at) sums.set(time, (at = { cpu: { sum: 0, weight: 0 }, memory: { sum: 0, weight: 0 }, gpu: { sum: 0, weight: 0 } }));
      for (const measure of MEASURES) {
        const value = point[measure];
        if (value === null) continue;
        at[measure].sum += value * weight[measure];
        at[measure].weight += weight[measure];
      }
    }
  }
  const mean: Minutes = new Map();
  for (const [time, at] of sums) {
    const of = (measure: Measure) => (at[measure].weight > 0 ? at[measure].sum / at[measure].weight : null);
    mean.set(time, { cpu: of("cpu"), memory: of("memory"), gpu: of("gpu") });
  }
  return mean;
}

/** What a node tells just now; null: it is silent. */
export function sampleOf(node: Node): Point | null {
  if (node.status !== "online") return null;
  const gpus = node.gpu_info.map((gpu) => gpu.gpu_utilization).filter((use) => use >= 0);
  return { cpu: node.cpu_percent, memory: node.memory_percent, gpu: gpus.length ? gpus.reduce((sum, use) => sum + use, 0) / gpus.length : null };
}

/** The mean of the minute that goes on, of samples that come whenever they come. */
export class RunningMean {
  private sums: Record<Measure, number> = { cpu: 0, memory: 0, gpu: 0 };
  private weights: Record<Measure, number> = { cpu: 0, memory: 0, gpu: 0 };

  add(point: Point, weight = 1): Point {
    for (const measure of MEASURES) {
      if (point[measure] === null) continue;
      this.sums[measure] += point[measure] * weight;
      this.weights[measure] += weight;
    }
    const of = (measure: Measure) => (this.weights[measure] > 0 ? this.sums[measure] / this.weights[measure] : null);
    return { cpu: of("cpu"), memory: of("memory"), gpu: of("gpu") };
  }
}

/** Columns for a plot: every minute from `from` to `to`, null where nothing is known. */
export function columns(minutes: Minutes, from: number, to: number): { times: number[] } & Record<Measure, (number | null)[]> {
  const out = { times: [] as number[], cpu: [] as (number | null)[], memory: [] as (number | null)[], gpu: [] as (number | null)[] };
  for (let time = from; time <= to; time += STEP) {
    out.times.push(time);
    for (const measure of MEASURES) out[measure].push(minutes.get(time)?.[measure] ?? null);
  }
  return out;
}

export const minuteOf = (milliseconds: number) => Math.floor(milliseconds / 1000 / STEP) * STEP;

export interface History {
  past: ShallowRef<Past>;
  now: ShallowRef<number>; // the minute that goes on, by the host's clock
  error: ShallowRef<Error | null>;
  loaded: ShallowRef<boolean>;
  reload: () => Promise<void>;
}

export function useHistory(hours: Ref<number>): History {
  const past = shallowRef<Past>(new Map());
  const now = shallowRef(minuteOf(hostNow()));
  const error = shallowRef<Error | null>(null);
  const loaded = shallowRef(false);
  const running = new Map<string, RunningMean>();
  let shownAt = 0;
  let asking: AbortController | null = null;

  const current = () => minuteOf(hostNow());
  const oldest = () => now.value - 24 * 3600;

  async function reload() {
    asking?.abort();
    const mine = (asking = new AbortController());
    try {
      const answer = await get<NodesHistory>(`/api/nodes/history?hours=${hours.value}`, mine.signal);
      if (mine !== asking) return;
      now.value = current();
      running.clear(); // begun anew with the host's own mean of this minute
      past.value = merged(past.value, pastOf(answer), oldest());
      error.value = null;
      loaded.value = true;
    } catch (caught) {
      if (mine === asking) error.value = caught as Error;
    }
  }

  function hear(told: Node[] | null) {
    if (!told || !loaded.value) return;
    const minute = current();
    if (minute !== now.value) running.clear();
    const newest: [string, Point][] = [];
    for (const node of told) {
      const sample = sampleOf(node);
      if (!sample) continue;
      let mean = running.get(node.hostname);
      if (!mean) {
        running.set(node.hostname, (mean = new RunningMean()));
        const known = past.value.get(node.hostname)?.get(minute);
        // The host has heard the node about once a second since the minute began.
        if (known) mean.add(known, Math.max(1, Math.floor(hostNow() / 1000) - minute));
      }
      newest.push([node.hostname, mean.add(sample)]);
    }
    if (minute === now.value && Date.now() - shownAt < SHOW_MS) return;
    shownAt = Date.now();
    now.value = minute;
    past.value = merged(past.value, new Map(newest.map(([name, point]) => [name, new Map([[minute, point]])])), oldest());
  }

  watch(nodes, hear);
  watch(hours, reload);
  onEvent(["node"], (event) => event === null && void reload()); // minutes may have been missed
  onScopeDispose(() => {
    asking?.abort();
    asking = null;
  });
  void reload();
  return { past, now, error, loaded, reload };
}
