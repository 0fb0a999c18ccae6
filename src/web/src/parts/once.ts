// What a button begins: once, however often it is clicked, and with the error that came of it.
import { ref, shallowRef, type Ref, type ShallowRef } from "vue";

export interface Once {
  busy: Ref<boolean>;
  error: ShallowRef<Error | null>;
  once: (work: () => Promise<unknown>) => Promise<void>;
}

export function useOnce(): Once {
  const busy = ref(false);
  const error = shallowRef<Error | null>(null);
  async function once(work: () => Promise<unknown>) {
    if (busy.value) return;
    busy.value = true;
    error.value = null;
    try {
      await work();
    } catch (caught) {
      error.value = caught as Error;
    }
    busy.value = false;
  }
  return { busy, error, once };
}
