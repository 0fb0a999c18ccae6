// What has been done, or why not, told at the edge of the page.
import { reactive } from "vue";

export interface Toast {
  id: number;
  kind: "done" | "failed";
  text: string;
}

export const toasts = reactive<Toast[]>([]);
let next = 1;

function show(kind: Toast["kind"], text: string, milliseconds: number) {
  const id = next++;
  toasts.push({ id, kind, text });
  setTimeout(() => dismiss(id), milliseconds);
}

export function dismiss(id: number) {
  const at = toasts.findIndex((toast) => toast.id === id);
  if (at >= 0) toasts.splice(at, 1);
}

export const tellDone = (text: string) => show("done", text, 5000);
export const tellFailed = (error: unknown) => show("failed", error instanceof Error ? error.message : String(error), 15000);

/** Does it, and tells how it went. False: it failed, and that has been told. */
export async function attempt(work: () => Promise<{ message?: string } | void>, done?: string): Promise<boolean> {
  try {
    const answer = await work();
    const text = done ?? (answer && answer.message);
    if (text) tellDone(text);
    return true;
  } catch (error) {
    tellFailed(error);
    return false;
  }
}
