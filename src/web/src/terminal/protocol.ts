// riverbox.terminal.v1 (docs/terminal-protocol.md), the client's side: frames, and the two windows that bound what is on its way.

export const SUBPROTOCOL = "riverbox.terminal.v1";

export const Channel = { data: 0, error: 1, resize: 2, end: 3, consumed: 4, exit: 5, failure: 6, ready: 7, screen: 8 } as const;

const REPORT_AFTER_BYTES = 128 * 1024; // a quarter of the host's window of 512 KiB
const INPUT_WINDOW_BYTES = 256 * 1024;

export type Message = { kind: "output"; bytes: Uint8Array } | { kind: "consumed"; count: number } | { kind: "exit"; status: number } | { kind: "failure"; text: string } | { kind: "ready" } | { kind: "unknown" };

export function parse(frame: ArrayBuffer): Message {
  const view = new DataView(frame);
  if (frame.byteLength === 0) return { kind: "unknown" };
  const payload = new Uint8Array(frame, 1);
  switch (view.getUint8(0)) {
    case Channel.data:
    case Channel.error:
      return { kind: "output", bytes: payload };
    case Channel.screen: // of a session: behind how far it has come
      return payload.length >= 8 ? { kind: "output", bytes: payload.subarray(8) } : { kind: "unknown" };
    case Channel.consumed:
      return payload.length === 4 ? { kind: "consumed", count: view.getUint32(1) } : { kind: "unknown" };
    case Channel.exit:
      return payload.length === 4 ? { kind: "exit", status: view.getInt32(1) } : { kind: "unknown" };
    case Channel.failure:
      return { kind: "failure", text: new TextDecoder().decode(payload) };
    case Channel.ready:
      return { kind: "ready" };
    default:
      return { kind: "unknown" };
  }
}

function frame(channel: number, size: number): [Uint8Array, DataView] {
  const bytes = new Uint8Array(1 + size);
  bytes[0] = channel;
  return [bytes, new DataView(bytes.buffer)];
}

export function resize(rows: number, columns: number): Uint8Array {
  const [bytes, view] = frame(Channel.resize, 4);
  view.setUint16(1, rows);
  view.setUint16(3, columns);
  return bytes;
}

export function consumed(count: number): Uint8Array {
  const [bytes, view] = frame(Channel.consumed, 4);
  view.setUint32(1, count);
  return bytes;
}

export function data(payload: Uint8Array): Uint8Array {
  const [bytes] = frame(Channel.data, payload.length);
  bytes.set(payload, 1);
  return bytes;
}

/** What has been put on the screen is reported now and then, so that the host goes on sending. */
export class OutputWindow {
  #unreported = 0;

  constructor(private readonly send: (frame: Uint8Array) => void) {}

  shown(count: number) {
    this.#unreported += count;
    if (this.#unreported < REPORT_AFTER_BYTES) return;
    this.send(consumed(this.#unreported));
    this.#unreported = 0;
  }
}

/** Keeps what is typed or pasted until the shell has room for it. */
export class InputWindow {
  #waiting: Uint8Array[] = [];
  #underWay = 0;

  constructor(private readonly send: (frame: Uint8Array) => void) {}

  write(bytes: Uint8Array) {
    if (bytes.length) this.#waiting.push(bytes);
    this.#flush();
  }

  taken(count: number) {
    this.#underWay = Math.max(0, this.#underWay - count);
    this.#flush();
  }

  #flush() {
    while (this.#waiting.length && this.#underWay < INPUT_WINDOW_BYTES) {
      const next = this.#waiting.shift()!;
      const room = INPUT_WINDOW_BYTES - this.#underWay;
      if (next.length > room) this.#waiting.unshift(next.subarray(room));
      const now = next.subarray(0, room);
      this.#underWay += now.length;
      this.send(data(now));
    }
  }
}
