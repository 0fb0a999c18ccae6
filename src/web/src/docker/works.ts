// What has been begun for an environment and takes its time. It goes on when the page is left, and is begun once, however often one clicks.
import { reactive } from "vue";
import { path, postWithProgress, type Progress } from "../api/client";
import type { Published } from "../api/types";
import { bytes } from "../parts/format";
import { attempt } from "../parts/toasts";

export const works = reactive(new Map<string, Progress>());

export async function work(name: string, what: string, task: (told: (progress: Progress) => void) => Promise<string>): Promise<void> {
  if (works.has(name)) return;
  works.set(name, { step: what });
  await attempt(async () => ({ message: await task((progress) => works.set(name, progress)) }));
  works.delete(name);
}

/** A host keeps as many versions as `keep_versions` in its configuration says, and the pinned ones. */
export const prunedText = (pruned: string[]) => (pruned.length ? ` No longer kept: ${pruned.join(", ")}.` : "");

export function createTar(name: string): Promise<void> {
  return work(name, "starting", async (told) => {
    const made = await postWithProgress<Published>(path("/api/docker/create_tar/{}", name), undefined, told);
    const written = made.size_bytes - made.packaging.bytes_taken_over;
    return `${name}: packaged as ${made.tarball_path.split("/").pop()}, ${bytes(written)} new of ${bytes(made.size_bytes)}.${prunedText(made.pruned)}`;
  });
}
