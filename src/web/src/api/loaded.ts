// Something from the host that a page shows: loaded, and loaded again when an event says that it has changed.
import { onScopeDispose, shallowRef, watch, type ShallowRef, type WatchSource } from "vue";
import { onEvent, type EventType } from "./live";
import type { Event as HostEvent } from "./types";

export interface Loaded<T> {
  data: ShallowRef<T | null>;
  error: ShallowRef<Error | null>;
  loading: ShallowRef<boolean>;
  reload: () => Promise<void>;
}

export interface Reasons {
  on?: EventType[];
  heeds?: (event: HostEvent) => boolean; // of those, only these
  restMs?: number; // between two loads because of events
  when?: WatchSource | WatchSource[]; // what is there is about something else then
}

const SETTLE_MS = 150; // events come in groups
const REST_MS = 700; // and where they never cease, the host has other things to do

export function useLoaded<T>(load: (signal: AbortSignal) => Promise<T>, options: Reasons = {}): Loaded<T> {
  const data = shallowRef<T | null>(null);
  const error = shallowRef<Error | null>(null);
  const loading = shallowRef(false);
  let running: AbortController | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let outdated = false; // something happened while it was loaded
  let begunAt = -Infinity;

  async function reload() {
    clearTimeout(timer);
    timer = undefined;
    running?.abort();
    const mine = (running = new AbortController());
    begunAt = performance.now();
    loading.value = true;
    try {
      const loaded = await load(mine.signal);
      if (mine !== running) return;
      data.value = loaded;
      error.value = null;
    } catch (caught) {
      if (mine !== running) return;
      error.value = caught as Error;
    }
    loading.value = false;
    if (outdated) soon(null);
  }

  // What is under way is not given up for an event: where they never cease, nothing would ever be shown.
  function soon(event: HostEvent | null) {
    if (event && options.heeds?.(event) === false) return;
    outdated = loading.value;
    if (!outdated) timer ??= setTimeout(reload, Math.max(SETTLE_MS, begunAt + (options.restMs ?? REST_MS) - performance.now()));
  }

  if (options.on) onEvent(options.on, soon);
  if (options.when)
    watch(options.when, () => {
      data.value = null;
      reload();
    });
  onScopeDispose(() => {
    clearTimeout(timer);
    running?.abort();
    running = null;
  });
  reload();
  return { data, error, loading, reload };
}
