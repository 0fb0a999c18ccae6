// What happens, as it happens: one stream of Server-Sent Events for the whole page, and nothing is asked for twice.
import { onScopeDispose, reactive, shallowRef } from "vue";
import { ApiError, access } from "./client";
import { findOutWhoIAm } from "./session";
import type { Event as HostEvent, Node } from "./types";

export type EventType = HostEvent["type"];

const RETRY_MS = 1000;
const TYPES: EventType[] = ["task", "node", "environment", "host", "token"];

export const live = reactive({
  connected: false,
  everConnected: false,
  lostAt: null as number | null,
});

/** Every node with its load, at most a second old. null: not told yet. */
export const nodes = shallowRef<Node[] | null>(null);

const listeners = new Set<{ types: EventType[]; heard: (event: HostEvent | null) => void }>();
let source: EventSource | null = null;
let lastId = "";

/** Calls `heard` for events of these types, and with null when some may have been missed. Ends with the component that asks. */
export function onEvent(types: EventType[], heard: (event: HostEvent | null) => void): void {
  const listener = { types, heard };
  listeners.add(listener);
  onScopeDispose(() => listeners.delete(listener));
}

function tell(type: EventType | null, event: HostEvent | null) {
  for (const listener of [...listeners]) if (type === null || listener.types.includes(type)) listener.heard(event);
}

export function startLive(): void {
  source?.close();
  // The browser comes back by itself only as long as the host answers properly; this comes back always.
  source = new EventSource("/api/events?nodes=1" + (lastId ? `&after=${lastId}` : ""));
  source.onopen = () => {
    const again = live.everConnected;
    live.connected = live.everConnected = true;
    live.lostAt = null;
    if (again) tell(null, null);
  };
  source.onerror = () => {
    source?.close();
    if (live.connected || live.lostAt === null) live.lostAt = Date.now();
    live.connected = false;
    setTimeout(comeBack, RETRY_MS);
  };
  source.addEventListener("nodes", (message) => {
    nodes.value = JSON.parse(message.data);
  });
  for (const type of TYPES)
    source.addEventListener(type, (message) => {
      lastId = message.lastEventId;
      tell(type, JSON.parse(message.data));
    });
}

/** An EventSource does not say why it failed. */
async function comeBack() {
  try {
    await findOutWhoIAm();
    startLive();
  } catch (error) {
    if (error instanceof ApiError && access.sessionOver) {
      live.lostAt = null; // the host is there; startLive() is called after the login
      return;
    }
    setTimeout(comeBack, RETRY_MS);
  }
}
