// What has happened to a task: what it tells of itself, and the events that the host has kept of it.
import type { Event as HostEvent, Task } from "../api/types";
import { moment } from "../parts/format";
import { isOver } from "./state";

export interface Step {
  key: string;
  title: string;
  detail: string;
  time: string | null;
  tone: "done" | "good" | "bad" | "now";
}

const TITLES: Record<string, string> = { placed: "Placed", started: "Started", paused: "Paused", resumed: "Resumed", lost: "Its node was lost", found: "Found again", retried: "Tried again" };
const NOW: Partial<Record<Task["status"], string>> = { pending: "Waits for a place", assigning: "Is being placed", syncing: "The node gets its environment", running: "Running", paused: "Paused", lost: "Its node does not answer" };
const ENDS: Partial<Record<Task["status"], string>> = { completed: "Completed", failed: "Failed", killed: "Killed", killed_oom: "Killed: out of memory", stopped: "Stopped" };
const SAME_MS = 3000; // the event and the task tell of the same moment

export function timeline(task: Task, heard: HostEvent[]): Step[] {
  const near = (event: HostEvent, time: string | null) => Math.abs((moment(event.time) ?? 0) - (moment(time) ?? Infinity)) < SAME_MS;
  const steps: Step[] = [{ key: "submitted", title: "Submitted", detail: "", time: task.submitted_at, tone: "done" }];
  if (task.started_at) steps.push({ key: "started", title: "Started", detail: task.assigned_node ? `on ${task.assigned_node}` : "", time: task.started_at, tone: "done" });
  for (const event of heard) {
    if (event.action === "submitted" || event.action === "ended" || (event.action === "started" && near(event, task.started_at))) continue;
    const detail = [event.action === "placed" && event.node ? `on ${event.node}` : "", event.message ?? ""].filter(Boolean).join(": ");
    steps.push({ key: `${event.id}`, title: TITLES[event.action] ?? event.action, detail, time: event.time, tone: event.action === "lost" ? "bad" : "done" });
  }
  steps.sort((a, b) => (moment(a.time) ?? 0) - (moment(b.time) ?? 0));
  if (isOver(task.status)) steps.push({ key: "end", title: ENDS[task.status]!, detail: task.exit_code === null ? "" : `exit status ${task.exit_code}`, time: task.completed_at, tone: task.status === "completed" ? "good" : task.status === "failed" || task.status === "killed_oom" ? "bad" : "done" });
  else steps.push({ key: "now", title: NOW[task.status] ?? task.status, detail: "", time: null, tone: task.status === "lost" ? "bad" : "now" });
  return steps;
}
