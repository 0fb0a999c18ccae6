// A shell on the other end of a WebSocket: opened with a ticket, opened anew when the connection drops; or a shared one, which goes on meanwhile.
import { ApiError, access, post } from "../api/client";
import type { Ticket } from "../api/types";
import { InputWindow, OutputWindow, SUBPROTOCOL, parse, resize } from "./protocol";

export type State =
  | { at: "connecting" }
  | { at: "open" }
  | { at: "lost" } // trying again
  | { at: "exited"; status: number }
  | { at: "failed"; reason: string };

export interface Screen {
  size(): { rows: number; columns: number };
  write(bytes: Uint8Array, shown: () => void): void;
  /** A new shell begins: nothing of the one before is alive. Of a session: what it has said comes from the beginning. */
  begun(again: boolean): void;
  changed(state: State): void;
}

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 5000;

export class TerminalConnection {
  #socket: WebSocket | null = null;
  #input: InputWindow | null = null;
  #retryMs = FIRST_RETRY_MS;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wasOpen = false;
  #closed = false;

  /** `path`: of the WebSocket, such as /api/docker/host/containers/my-env/terminal. */
  constructor(
    private readonly path: string,
    private readonly screen: Screen,
    /** The name of the shared one. */
    private readonly session?: string,
  ) {
    this.connect();
  }

  type(bytes: Uint8Array) {
    this.#input?.write(bytes);
  }

  resize() {
    const { rows, columns } = this.screen.size();
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(resize(rows, columns) as Uint8Array<ArrayBuffer>);
  }

  /** Once more, after an end. */
  connect() {
    clearTimeout(this.#timer);
    this.screen.changed({ at: "connecting" });
    this.#try();
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.close(1000);
  }

  #try() {
    this.#open().catch((error) => this.#refused(error));
  }

  async #open() {
    const { ticket } = await post<Ticket>("/api/tickets", { path: this.path });
    if (this.#closed) return;
    const { rows, columns } = this.screen.size();
    const parameters = new URLSearchParams({ ticket, rows: `${rows}`, cols: `${columns}`, "env.TERM": "xterm-256color", "env.COLORTERM": "truecolor", ...(this.session ? { session: this.session } : {}) });
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}${this.path}?${parameters}`, [SUBPROTOCOL]);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#listen(socket);
  }

  #listen(socket: WebSocket) {
    const send = (frame: Uint8Array) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(frame as Uint8Array<ArrayBuffer>);
    };
    const output = new OutputWindow(send);
    let end: State | null = null;
    socket.onmessage = ({ data }) => {
      const message = parse(data);
      if (message.kind === "ready") {
        this.screen.begun(this.#wasOpen);
        this.#wasOpen = true;
        this.#retryMs = FIRST_RETRY_MS;
        this.#input = new InputWindow(send);
        this.screen.changed({ at: "open" });
        this.resize(); // it may have changed meanwhile
      } else if (message.kind === "output") this.screen.write(message.bytes, () => output.shown(message.bytes.length));
      else if (message.kind === "consumed") this.#input?.taken(message.count);
      else if (message.kind === "exit") end = { at: "exited", status: message.status };
      else if (message.kind === "failure") end = { at: "failed", reason: message.text };
    };
    socket.onclose = ({ code, reason }) => {
      this.#input = null;
      if (this.#closed || socket !== this.#socket) return;
      if (!end && code === 1008) end = { at: "failed", reason: reason || "The host has ended this connection." };
      if (end) this.screen.changed(end);
      else this.#later();
      if (code === 1008) post("/api/tickets", { path: this.path }).catch(() => {}); // notices when it was because of the session
    };
  }

  #refused(error: unknown) {
    if (this.#closed) return;
    const gone = error instanceof ApiError && error.status === 0;
    if (gone) return this.#later();
    this.screen.changed({ at: "failed", reason: access.sessionOver ? "The session has ended. Log in again, then open the shell anew." : (error as Error).message });
  }

  #later() {
    this.screen.changed({ at: "lost" });
    this.#timer = setTimeout(() => this.#try(), this.#retryMs);
    this.#retryMs = Math.min(LONGEST_RETRY_MS, this.#retryMs * 2);
  }
}
