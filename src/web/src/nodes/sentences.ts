// Events as sentences: what a person reads about what happened.
import type { Event } from "../api/types";
import type { IconName } from "../parts/Icon.vue";
import { nodeLink } from "./figures";

export type Tone = "good" | "warn" | "bad" | "calm" | "accent";
export interface Sentence {
  icon: IconName;
  word: string;
  tone: Tone;
  subject: string;
  to: string | null;
  node: string | null; // where, if it is not the subject
  detail: string | null;
}

const ICONS: Record<Event["type"], IconName> = { task: "tasks", node: "nodes", environment: "docker", host: "settings", token: "settings" };
const TONES: Record<string, Tone> = {
  started: "accent", online: "good", joined: "good", found: "good", published: "good", resumed: "good", created: "good", signed: "good", loaded: "accent",
  offline: "bad", lost: "bad", removed: "bad", retried: "warn", drained: "warn", paused: "warn", rolled_back: "warn",
};

/** How a task ended is in its message: "completed", "failed, exit code 1: ...". */
function ofEnd(message: string | null): { word: string; tone: Tone; detail: string | null } {
  const [, state = "ended", rest = ""] = /^(\w+)[,:]?\s*(.*)$/s.exec(message ?? "") ?? [];
  const tone = state === "completed" ? "good" : state === "killed" || state === "stopped" ? "calm" : "bad";
  return { word: state === "killed_oom" ? "out of memory" : state, tone, detail: rest.replace(/^exit code (\d+): Exit code \1\.$/, "exit code $1") || null };
}

function placeOf(event: Event): string | null {
  switch (event.type) {
    case "task":
      return `/tasks/${encodeURIComponent(event.subject)}`;
    case "node":
      return event.action === "removed" ? null : nodeLink(event.subject);
    case "environment":
      return /^(created|started|stopped|deleted)$/.test(event.action) ? "/docker/containers" : "/docker/tarballs";
    default:
      return null;
  }
}

export function sentenceOf(event: Event): Sentence {
  const end = event.type === "task" && event.action === "ended" ? ofEnd(event.message) : null;
  return {
    icon: ICONS[event.type] ?? "overview",
    word: end?.word ?? event.action.replaceAll("_", " "),
    tone: end?.tone ?? TONES[event.action] ?? "calm",
    subject: event.type === "task" ? `Task ${event.subject}` : event.type === "host" ? "The host" : event.subject,
    to: placeOf(event),
    node: event.type === "node" ? null : event.node,
    detail: end ? end.detail : event.message,
  };
}
