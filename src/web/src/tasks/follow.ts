// A task and what it writes, live: the end of its output first, then every byte that comes, none twice.
import { onScopeDispose, reactive, shallowRef, triggerRef, type ShallowRef } from "vue";
import { access, get, path, request, type ApiError } from "../api/client";
import type { Task } from "../api/types";
import { Decoder, Rows, beforeLine, parsePosition, textOf } from "./output";

export type StreamName = "stdout" | "stderr";

const TAIL_LINES = 1000;
const MOST_TAIL_BYTES = 2_000_000; // a thousand lines may be a gigabyte
const STEP_BYTES = 1024 * 1024;
const PAINT_MS = 80;
const RETRY_MS = 1500;
const HIDDEN_MS = 5_000; // as in api/live.ts

export class Stream {
  rows = new Rows();
  decoder = new Decoder();
  start = 0; // of the first row, in bytes
  end = 0;
}

export interface Follower {
  streams: ShallowRef<Record<StreamName, Stream>>;
  state: { attempt: number; begun: boolean; over: boolean; connected: boolean; error: Error | null };
  earlier: (name: StreamName) => Promise<void>;
}

export function followTask(id: string, told: (task: Task) => void): Follower {
  const streams = shallowRef({ stdout: new Stream(), stderr: new Stream() });
  const state = reactive({ attempt: 1, begun: false, over: false, connected: false, error: null as Error | null });
  let source: EventSource | null = null;
  let retry: ReturnType<typeof setTimeout> | undefined;
  let painting: ReturnType<typeof setTimeout> | undefined;
  let gone = false;

  // Many pieces, one picture. A timer, because a page in the background paints no frames.
  const paint = () => (painting ??= setTimeout(() => ((painting = undefined), triggerRef(streams)), PAINT_MS));

  const output = async (name: StreamName, ask: { tail?: boolean; range?: string }) => {
    const answer = await request("GET", path("/api/tasks/{}/", id) + name + (ask.tail ? `?tail=${TAIL_LINES}` : ""), undefined, ask.range ? { Range: ask.range } : {});
    return { answer, attempt: Number(answer.headers.get("Riverbox-Attempt")), offset: Number(answer.headers.get("Riverbox-Offset")) };
  };

  async function tail(name: StreamName): Promise<{ stream: Stream; attempt: number }> {
    let { answer, attempt, offset } = await output(name, { tail: true });
    const size = Number(answer.headers.get("Content-Length"));
    const cut = size > MOST_TAIL_BYTES;
    if (cut) {
      await answer.body?.cancel();
      ({ answer, attempt, offset } = await output(name, { range: `bytes=${offset + size - MOST_TAIL_BYTES / 2}-` }));
    }
    const all = new Uint8Array(await answer.arrayBuffer());
    const from = cut ? beforeLine(all) : 0;
    const stream = new Stream();
    stream.start = offset + from;
    stream.end = offset + all.length;
    stream.rows.add(stream.decoder.bytes(all.subarray(from)));
    return { stream, attempt };
  }

  async function begin() {
    try {
      const [out, err] = await Promise.all([tail("stdout"), tail("stderr")]);
      if (gone) return;
      if (out.attempt !== err.attempt) return void begin(); // the next attempt began in between
      state.attempt = out.attempt;
      state.begun = true;
      state.error = null;
      streams.value = { stdout: out.stream, stderr: err.stream };
    } catch (error) {
      if (gone) return;
      state.error = error as Error;
      if ((error as ApiError).status !== 404) retry = setTimeout(begin, RETRY_MS * 2);
      return;
    }
    open();
  }

  function open() {
    if (gone || state.over || source || document.hidden) return;
    const { stdout, stderr } = streams.value;
    const mine = (source = new EventSource(`${path("/api/tasks/{}/events", id)}?since=${state.attempt}-${stdout.end}-${stderr.end}`));
    mine.onopen = () => (state.connected = true);
    mine.onerror = () => {
      state.connected = false;
      if (mine.readyState !== EventSource.CLOSED) return; // the browser comes back, and says what it had last
      close();
      retry = setTimeout(reopen, RETRY_MS);
    };
    mine.addEventListener("status", (message) => {
      const task: Task = JSON.parse(message.data);
      if (task.attempt > state.attempt) newAttempt(task.attempt);
      told(task);
    });
    for (const name of ["stdout", "stderr"] as const) mine.addEventListener(name, (message) => take(name, message));
    mine.addEventListener("end", (message) => {
      state.over = true;
      close();
      for (const stream of Object.values(streams.value)) stream.rows.add(stream.decoder.end());
      paint();
      told(JSON.parse(message.data));
    });
  }

  /** An EventSource does not say why it failed: another request does. */
  async function reopen() {
    if (gone) return;
    try {
      if (!access.sessionOver) await get(path("/api/status/{}", id));
      if (!access.sessionOver) return open();
    } catch (error) {
      if ((error as ApiError).status === 404) return void (state.error = error as Error);
    }
    if (!gone) retry = setTimeout(reopen, RETRY_MS);
  }

  function close() {
    source?.close();
    source = null;
    state.connected = false;
  }

  function newAttempt(attempt: number) {
    state.attempt = attempt;
    streams.value = { stdout: new Stream(), stderr: new Stream() };
  }

  function take(name: StreamName, message: MessageEvent) {
    const position = parsePosition(message.lastEventId);
    if (!position || position.attempt < state.attempt) return;
    if (position.attempt > state.attempt) newAttempt(position.attempt);
    const stream = streams.value[name];
    if (position[name] <= stream.end) return; // it is there
    stream.rows.add(textOf(JSON.parse(message.data), stream.decoder));
    stream.end = position[name];
    paint();
  }

  async function earlier(name: StreamName) {
    const stream = streams.value[name];
    const from = Math.max(0, stream.start - STEP_BYTES);
    const { answer, attempt, offset } = await output(name, { range: `bytes=${from}-${stream.start - 1}` });
    const all = new Uint8Array(await answer.arrayBuffer());
    if (attempt !== state.attempt || stream !== streams.value[name]) return;
    const cut = from === 0 ? 0 : beforeLine(all);
    const rows = new Rows();
    rows.add(new TextDecoder().decode(all.subarray(cut)));
    stream.start = offset + cut;
    stream.rows.prepend(rows.rows);
    triggerRef(streams);
  }

  let hiding: ReturnType<typeof setTimeout> | undefined;
  const visibility = () => {
    clearTimeout(hiding);
    if (document.hidden) hiding = setTimeout(close, HIDDEN_MS);
    else if (state.begun && !source) (clearTimeout(retry), open());
  };
  document.addEventListener("visibilitychange", visibility);
  onScopeDispose(() => {
    gone = true;
    document.removeEventListener("visibilitychange", visibility);
    for (const timer of [retry, painting, hiding]) clearTimeout(timer);
    close();
  });
  begin();
  return { streams, state, earlier };
}
