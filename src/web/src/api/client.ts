// Requests to the host. Every failure is an ApiError whose message is what the host says, which tells what to do next.
import { reactive } from "vue";

export class ApiError extends Error {
  constructor(
    readonly status: number, // 0: the host was not reached
    message: string,
  ) {
    super(message);
  }
}

export interface Progress {
  step: string;
  bytes?: number;
  total_bytes?: number; // 0: not known
}

type Method = "GET" | "POST" | "DELETE";

/** What the answers of the host say about this page: whether its session is over. */
export const access = reactive({ sessionOver: false });

export async function request(method: Method, path: string, body?: unknown, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, {
      method,
      signal,
      headers: { ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "The host does not answer.");
  }
  if (answer.ok) return answer;
  if (answer.status === 401 && path !== "/api/login") access.sessionOver = true;
  throw new ApiError(answer.status, await reason(answer));
}

async function reason(answer: Response): Promise<string> {
  try {
    const { detail } = await answer.json();
    if (typeof detail === "string") return detail;
  } catch {
    // not one of ours, such as a proxy's
  }
  return `The host answered ${answer.status} ${answer.statusText}`.trim() + ".";
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await request("GET", path, undefined, {}, signal)).json();
}

export async function post<T>(path: string, body?: unknown): Promise<T> {
  return (await request("POST", path, body)).json();
}

export async function del<T>(path: string): Promise<T> {
  return (await request("DELETE", path)).json();
}

/** A POST that takes its time: `told` hears of every step. */
export async function postWithProgress<T>(path: string, body: unknown, told: (progress: Progress) => void): Promise<T> {
  const answer = await request("POST", path, body, { Accept: "application/x-ndjson" });
  if (!answer.headers.get("Content-Type")?.includes("ndjson")) return answer.json();
  for await (const line of linesOf(answer)) {
    const said = JSON.parse(line);
    if (said.progress) told(said.progress);
    else if (said.error) throw new ApiError(said.status, said.error.detail);
    else return said.result;
  }
  throw new ApiError(0, "The connection to the host broke; what was begun may go on there.");
}

async function* linesOf(answer: Response): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  const reader = answer.body!.getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = lines.pop()!;
      yield* lines.filter(Boolean);
    }
    if (rest.trim()) yield rest;
  } catch {
    // the connection broke: what came is no whole line
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** "/api/nodes/{}/drain" with a name in it that may hold anything. */
export function path(pattern: string, ...parts: (string | number)[]): string {
  return pattern.replace(/\{\}/g, () => encodeURIComponent(String(parts.shift())));
}

export function query(parameters: Record<string, string | number | undefined | null>): string {
  const set = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return set.length ? "?" + set.map(([key, value]) => `${key}=${encodeURIComponent(value!)}`).join("&") : "";
}
