// Something from the host that a page shows: loaded, and loaded again when an event says that it has changed.
import { onScopeDispose, shallowRef, watch, type ShallowRef, type WatchSource } from "vue";
import { onEvent, type EventType } from "./live";

export interface Loaded<T> {
  data: ShallowRef<T | null>;
  error: ShallowRef<Error | null>;
  loading: ShallowRef<boolean>;
  reload: () => Promise<void>;
}

const SETTLE_MS = 150; // events come in groups

export function useLoaded<T>(load: (signal: AbortSignal) => Promise<T>, options: { on?: EventType[]; when?: WatchSource | WatchSource[] } = {}): Loaded<T> {
  const data = shallowRef<T | null>(null);
  const error = shallowRef<Error | null>(null);
  const loading = shallowRef(false);
  let running: AbortController | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let outdated = false; // something happened while it was loaded

  async function reload() {
    clearTimeout(timer);
    timer = undefined;
    running?.abort();
    const mine = (running = new AbortController());
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
    if (outdated) soon();
  }

  // What is under way is not given up for an event: where they never cease, nothing would ever be shown.
  function soon() {
    outdated = loading.value;
    if (!outdated) timer ??= setTimeout(reload, SETTLE_MS);
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
