import { describe, expect, it } from "vitest";
import type { NodesHistory } from "../src/api/types";
import { RunningMean, columns, meanOver, merged, minuteOf, pastOf, sampleOf, weightOf, type Past, type Point } from "../src/nodes/history";

const point = (cpu: number | null, memory: number | null = null, gpu: number | null = null): Point => ({ cpu, memory, gpu });
const past = (nodes: Record<string, Record<number, Point>>): Past => new Map(Object.entries(nodes).map(([name, minutes]) => [name, new Map(Object.entries(minutes).map(([time, p]) => [Number(time), p]))]));
const weights = (of: Record<string, [number, number, number]>) => new Map(Object.entries(of).map(([name, [cpu, memory, gpu]]) => [name, { cpu, memory, gpu }]));

const ANSWER: NodesHistory = {
  step_seconds: 60,
  nodes: {
    a: { start: 600, cpu_percent: [10, null, 30], memory_percent: [1, null, 3], gpu_percent: [null, null, null], cores_in_use: [0, null, 2] },
    b: { start: 600, cpu_percent: [null, null, null], memory_percent: [null, null, null], gpu_percent: [null, null, null], cores_in_use: [null, null, null] },
  },
};
const NODE = { hostname: "a", status: "online", cpu_percent: 50, memory_percent: 25, memory_total_bytes: 8e9, total_cores: 4, gpu_info: [{ gpu_utilization: 20 }, { gpu_utilization: 60 }] } as any;

describe("what the host tells", () => {
  it("is kept by minute, without those in which nothing was heard", () => {
    const told = pastOf(ANSWER);
    expect([...told.get("a")!.keys()]).toEqual([600, 720]);
    expect(told.get("a")!.get(720)).toEqual(point(30, 3));
    expect(told.get("b")!.size).toBe(0);
  });
});

describe("merged", () => {
  it("takes the fresh minutes, and keeps what only the old have", () => {
    const all = merged(past({ a: { 0: point(1), 60: point(2) } }), past({ a: { 60: point(9), 120: point(3) } }), 0);
    expect([...all.get("a")!]).toEqual([[0, point(1)], [60, point(9)], [120, point(3)]]);
  });
  it("keeps the past of nodes that a restarted host has not heard of yet", () => {
    expect([...merged(past({ a: { 60: point(2) } }), past({ b: { 120: point(3) } }), 0).keys()]).toEqual(["a", "b"]);
  });
  it("forgets what is too old, and nodes of which nothing is left", () => {
    const all = merged(past({ a: { 0: point(1), 60: point(2) }, b: { 0: point(5) } }), new Map(), 60);
    expect([...all.get("a")!.keys()]).toEqual([60]);
    expect(all.has("b")).toBe(false);
  });
  it("orders the minutes by time", () => {
    expect([...merged(past({ a: { 120: point(1) } }), past({ a: { 60: point(2) } }), 0).get("a")!.keys()]).toEqual([60, 120]);
  });
});

describe("the mean over nodes", () => {
  it("weighs by cores, memory and GPUs", () => {
    const mean = meanOver(past({ a: { 0: point(100, 50, 10) }, b: { 0: point(0, 0, 40) } }), weights({ a: [1, 30, 1], b: [3, 10, 2] }));
    expect(mean.get(0)).toEqual(point(25, 37.5, 30));
  });
  it("leaves silent nodes and nodes without a GPU out", () => {
    const mean = meanOver(past({ a: { 0: point(80, 10, null) }, b: { 60: point(20, 20, null) } }), weights({ a: [4, 4, 0], b: [4, 4, 0] }));
    expect(mean.get(0)).toEqual(point(80, 10, null));
    expect(mean.get(60)).toEqual(point(20, 20, null));
  });
  it("leaves nodes out that were removed", () => {
    expect(meanOver(past({ gone: { 0: point(80) } }), weights({})).size).toBe(0);
  });
});

describe("the minute that goes on", () => {
  it("is the mean of its samples", () => {
    const mean = new RunningMean();
    mean.add(point(10, 20));
    expect(mean.add(point(30, null, 8))).toEqual(point(20, 20, 8));
  });
  it("begins with what the host has of it", () => {
    const mean = new RunningMean();
    mean.add(point(10), 29);
    expect(mean.add(point(40)).cpu).toBe(11);
  });
});

describe("samples", () => {
  it("have the mean of all GPUs, and no value of a node that is silent", () => {
    expect(sampleOf(NODE)).toEqual(point(50, 25, 40));
    expect(sampleOf({ ...NODE, gpu_info: [] })!.gpu).toBeNull();
    expect(sampleOf({ ...NODE, status: "offline" })).toBeNull();
    expect(weightOf(NODE)).toEqual({ cpu: 4, memory: 8e9, gpu: 2 });
  });
});

describe("columns", () => {
  it("have every minute, with gaps", () => {
    const out = columns(new Map([[60, point(5, 6, null)]]), 0, 120);
    expect(out.times).toEqual([0, 60, 120]);
    expect(out.cpu).toEqual([null, 5, null]);
    expect(out.gpu).toEqual([null, null, null]);
  });
  it("begin at whole minutes", () => expect(minuteOf(119_999)).toBe(60));
});
