// A host that was upgraded has parts of the page under other names: those of a page that was open before are gone.
import { defineAsyncComponent, type Component } from "vue";

const KEY = "riverbox.reloaded";
const ONCE_IN_MS = 60_000; // where loading again did not help, it does not help at once

/** Loads the page again, at `place` (behind the '#') if that is given. False: it was done just before. */
export function loadAgain(place?: string): boolean {
  if (Date.now() - Number(sessionStorage.getItem(KEY)) < ONCE_IN_MS) return false;
  sessionStorage.setItem(KEY, String(Date.now()));
  if (place) location.hash = place;
  location.reload();
  return true;
}

/** A component that is fetched when it is needed first. */
export function later(load: () => Promise<{ default: Component }>) {
  return defineAsyncComponent(() =>
    load().catch((error) => {
      if (loadAgain()) return new Promise<never>(() => {});
      throw error;
    }),
  );
}
