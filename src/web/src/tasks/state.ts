// What the states of a task mean for a page.
import type { Task, TaskState } from "../api/types";
import { commandLine, moment, plain } from "../parts/format";

export const STATES: TaskState[] = ["running", "syncing", "assigning", "pending", "paused", "lost", "completed", "failed", "killed_oom", "killed", "stopped"];
export const WORDS: Partial<Record<TaskState, string>> = { killed_oom: "out of memory" };
const OVER: TaskState[] = ["completed", "failed", "killed", "killed_oom", "stopped"];

export const isOver = (state: TaskState) => OVER.includes(state);
export const isWaiting = (state: TaskState) => state === "pending" || state === "assigning";

export const titleOf = (task: Task) => plain(task.name || commandLine(task.command, task.arguments).split("\n")[0]);

/** How long it has run, in seconds; null: it has not begun. */
export function ranFor(task: Task, now: number): number | null {
  const start = moment(task.started_at);
  if (start === null) return null;
  const end = moment(task.completed_at) ?? (isOver(task.status) ? null : now);
  return end === null ? null : Math.max(0, (end - start) / 1000);
}

/** What it runs in: an environment with its version, or an image. */
export function runsIn(task: Task): { kind: "environment" | "image" | "host"; name: string; version: string } {
  if (task.registry_image) return { kind: "image", name: plain(task.registry_image), version: "" };
  if (task.container_name === "NULL") return { kind: "host", name: "no container", version: "" };
  const [name, asked] = (task.container_name ?? task.docker_image_name ?? "").split("@");
  return { kind: "environment", name: plain(name), version: task.version ? `${task.version}` : plain(asked) };
}
