// From what is typed into the form to what the host is asked for.
import type { Node, Submission } from "../api/types";
import { bytes, parseBytes, parseDuration } from "../parts/format";

export interface Form {
  kind: "environment" | "image";
  environment: string;
  version: string; // "": the newest one when it starts
  image: string;
  command: string;
  name: string;
  cores: string;
  memory: string;
  place: "any" | "chosen";
  targets: Target[];
  gpuCount: string;
  mounts: string;
  variables: string;
  folder: string;
  timeLimit: string;
  retries: string;
  priority: string;
  after: string;
  privileged: boolean;
  exclusive: boolean;
}

export interface Target {
  node: string;
  numa: string; // "": any
  gpus: number[];
}

export function emptyForm(environment = ""): Form {
  return { kind: "environment", environment, version: "", image: "", command: "", name: "", cores: "1", memory: "", place: "any", targets: [], gpuCount: "0", mounts: "", variables: "", folder: "", timeLimit: "", retries: "0", priority: "0", after: "", privileged: false, exclusive: false };
}

export type Problems = Partial<Record<keyof Form, string>>;

const lines = (text: string) => text.split("\n").map((line) => line.trim()).filter(Boolean);
const idsOf = (text: string) => text.split(/[\s,]+/).filter(Boolean);

function whole(text: string, least: number, most: number): string | undefined {
  const value = Number(text.trim() || "0");
  return Number.isInteger(value) && value >= least && value <= most ? undefined : `A whole number from ${least.toLocaleString("en")} to ${most.toLocaleString("en")}.`;
}

/** What is wrong with each field; nothing is said of what has only not been filled in. */
export function problemsOf(form: Form, nodes: Node[]): Problems {
  const problems: Problems = {};
  const say = (field: keyof Form, problem: string | undefined | false) => problem && (problems[field] ??= problem);
  say("image", /\s/.test(form.image.trim()) && "The name of an image has no spaces.");
  const chosen = form.place === "chosen" ? nodes.filter((node) => form.targets.some((target) => target.node === node.hostname)) : nodes;
  const most = (of: (node: Node) => number) => (chosen.length ? Math.max(...chosen.map(of)) : Infinity);
  say("cores", whole(form.cores, 0, 100_000));
  say("cores", form.exclusive && !(Number(form.cores) > 0) && "A task with CPUs of its own needs one at least.");
  say("cores", tooMuch(Number(form.cores), most((node) => node.total_cores), String));
  say("memory", form.memory.trim() !== "" && !parseBytes(form.memory) && "A size such as 4G, 512M or 1.5 GiB.");
  say("memory", tooMuch(parseBytes(form.memory) ?? 0, most((node) => node.memory_total_bytes), bytes));
  say("gpuCount", whole(form.gpuCount, 0, 1024));
  say("gpuCount", form.place === "any" && tooMuch(Number(form.gpuCount), most((node) => node.gpu_info.length), String));
  for (const line of lines(form.mounts)) say("mounts", !/^\/[^:]*:\/[^:]*(:(ro|rw))?$/.test(line) && `“${line}” is not HOST:CONTAINER, both absolute paths, with :ro behind them if it is only read.`);
  for (const line of variableLines(form.variables)) say("variables", !/^[A-Za-z_]\w*=/.test(line) && `“${line.split("=")[0]}” is not NAME=value; a name has letters, digits and underscores.`);
  say("folder", form.folder.trim() !== "" && !form.folder.trim().startsWith("/") && "An absolute path, which begins with /.");
  say("timeLimit", form.timeLimit.trim() !== "" && !parseDuration(form.timeLimit) && "A time such as 90m, 2h30m or 1d.");
  say("retries", whole(form.retries, 0, 1000));
  say("priority", whole(form.priority, -1000, 1000));
  say("after", idsOf(form.after).some((id) => !/^\d+$/.test(id)) && "Ids of tasks, which are numbers, with spaces or commas between them.");
  return problems;
}

function tooMuch(asked: number, most: number, text: (value: number) => string): string | false {
  return asked > most && (most ? `No node there has more than ${text(most)}.` : "No node there has any.");
}

// The value keeps its spaces.
const variableLines = (text: string) => text.split("\n").filter((line) => line.trim()).map((line) => line.trimStart());

/** What has only not been filled in. */
export function missingOf(form: Form): string[] {
  return [
    form.command.trim() === "" && "a command",
    form.kind === "image" && form.image.trim() === "" && "an image",
    form.kind === "environment" && form.environment === "" && "an environment",
    form.place === "chosen" && form.targets.length === 0 && "a node",
  ].filter((word) => word !== false);
}

export function submissionOf(form: Form, clientId: string): Submission {
  const chosen = form.place === "chosen";
  const memory = parseBytes(form.memory);
  const limit = parseDuration(form.timeLimit);
  const mounts = lines(form.mounts);
  const after = idsOf(form.after);
  return {
    command: "/bin/sh",
    arguments: ["-c", form.command],
    ...(form.kind === "image" ? { registry_image: form.image.trim() } : { container_name: form.environment + (form.version && `@${form.version}`) }),
    ...(form.name.trim() && { name: form.name.trim() }),
    required_cores: Number(form.cores),
    ...(form.exclusive && { exclusive: true }),
    ...(memory && { required_memory_bytes: memory }),
    ...(chosen && { targets: form.targets.map(({ node, numa }) => node + (numa && `:${numa}`)) }),
    ...(chosen && form.targets.some(({ gpus }) => gpus.length) ? { required_gpus: form.targets.map(({ gpus }) => gpus) } : Number(form.gpuCount) && { gpu_count: Number(form.gpuCount) }),
    ...(mounts.length && { additional_mounts: mounts }),
    env_vars: Object.fromEntries(variableLines(form.variables).map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)])),
    ...(form.folder.trim() && { working_dir: form.folder.trim() }),
    ...(limit && { time_limit_seconds: limit }),
    ...(Number(form.retries) && { retries: Number(form.retries) }),
    ...(Number(form.priority) && { priority: Number(form.priority) }),
    ...(after.length && { after }),
    ...(form.privileged && { privileged: true }),
    client_id: clientId,
  };
}

/** Names this form's submission, so that sending it again makes no second task. */
export function newClientId(): string {
  return "web-" + [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
