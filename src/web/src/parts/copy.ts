// A button that copies the text of a field, and says whether it has.
import { ref, type Ref } from "vue";

export function useCopy(field: Ref<HTMLInputElement | HTMLTextAreaElement | undefined>): { said: Ref<string>; copy: () => Promise<void> } {
  const said = ref("");
  async function copy() {
    const done = await clipboard(field.value!.value);
    field.value!.focus();
    field.value!.select();
    said.value = done || (document.execCommand("copy") as boolean) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (said.value = ""), 4000);
  }
  return { said, copy };
}

/** Browsers lend it only to pages that came through TLS or from this machine. */
async function clipboard(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
