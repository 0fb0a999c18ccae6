// What happens, as it happens: one stream of Server-Sent Events for the whole page, and nothing is asked for twice.
import { onScopeDispose, reactive, shallowRef, watch } from "vue";
import { hostNow } from "../parts/clock";
import { access } from "./client";
import { findOutWhoIAm } from "./session";
import type { Event as HostEvent, Node } from "./types";

export type EventType = HostEvent["type"];

const RETRY_MS = 1000;
const SILENT_MS = 45_000; // the host says something every 15 s
const HIDDEN_MS = 5_000; // a browser opens six connections to one host, for all its tabs together: one that nobody looks at gives its own back
const TYPES: EventType[] = ["task", "node", "environment", "host", "token"];

export const live = reactive({
  connected: false,
  lostAt: null as number | null,
});

/** Every node with its load, at most a second old while `live.connected`. null: not told yet. */
export const nodes = shallowRef<Node[] | null>(null);

const listeners = new Set<{ types: EventType[]; heard: (event: HostEvent | null) => void }>();
let source: EventSource | null = null;
let lastId = "";
let begun = false;
let waiting: ReturnType<typeof setTimeout> | undefined; // for a retry, or for a sign of life
let hiding: ReturnType<typeof setTimeout> | undefined;

/** Calls `heard` for events of these types, and with null when some may have been missed. Ends with the component that asks. */
export function onEvent(types: EventType[], heard: (event: HostEvent | null) => void): void {
  const listener = { types, heard };
  listeners.add(listener);
  onScopeDispose(() => listeners.delete(listener));
}

function tell(type: EventType | null, event: HostEvent | null) {
  for (const listener of [...listeners]) if (type === null || listener.types.includes(type)) listener.heard(event);
}

/** From now on, until the page is left. */
export function startLive(): void {
  if (!begun) {
    document.addEventListener("visibilitychange", seenOrNot);
    watch(() => access.sessionOver, (over) => over || open());
  }
  begun = true;
  open();
}

function open() {
  close();
  if (document.hidden) return; // see seenOrNot()
  // The browser comes back by itself only as long as the host answers properly; this comes back always.
  const mine = (source = new EventSource("/api/events?nodes=1" + (lastId ? `&after=${lastId}` : "")));
  const alive = () => {
    clearTimeout(waiting);
    waiting = setTimeout(lost, SILENT_MS);
  };
  alive();
  mine.onopen = () => {
    alive();
    live.connected = true;
    live.lostAt = null;
    tell(null, null);
  };
  mine.onerror = lost;
  mine.addEventListener("alive", alive);
  mine.addEventListener("nodes", (message) => {
    alive();
    nodes.value = JSON.parse(message.data);
  });
  for (const type of TYPES)
    mine.addEventListener(type, (message) => {
      alive();
      lastId = message.lastEventId;
      tell(type, JSON.parse(message.data));
    });
}

function close() {
  clearTimeout(waiting);
  source?.close();
  source = null;
}

function lost() {
  close();
  if (live.connected || live.lostAt === null) live.lostAt = hostNow();
  live.connected = false;
  waiting = setTimeout(comeBack, RETRY_MS);
}

/** An EventSource does not say why it failed. */
async function comeBack() {
  try {
    await findOutWhoIAm();
    open();
  } catch {
    if (access.sessionOver) live.lostAt = null; // the host is there; it goes on after the login
    else waiting = setTimeout(comeBack, RETRY_MS);
  }
}

function seenOrNot() {
  clearTimeout(hiding);
  if (document.hidden) hiding = setTimeout(close, HIDDEN_MS);
  else if (!source) comeBack(); // also when somebody has logged in again in another tab
}
