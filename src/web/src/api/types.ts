// Made from /openapi.json by types.mjs: do not edit.

export interface Error {
  detail: string;
}

export interface Message {
  message: string;
}

export interface Container {
  id: string;
  name: string;
  env_name: string | null;
  image: string;
  status: string;
  created: string;
  managed: boolean;
  latest: LatestTarball | null;
  changed_bytes?: number | null;
}

export interface ContainerWish {
  image_name: string;
  container_name: string;
}

export interface ContainerMade {
  message: string;
  container_id: string;
  container_name: string;
  env_name: string;
  status: string;
}

export interface LatestTarball {
  timestamp: number;
  tarball: string;
  size_bytes: number;
}

export interface Tarball {
  timestamp: number;
  tarball: string;
  size_bytes: number;
  image_id: string | null;
}

export interface Packaging {
  way: string;
  why: string | null;
  layers: number;
  layers_taken_over: number;
  bytes_taken_over: number;
}

export interface Published {
  message: string;
  tarball_path: string;
  env_name: string;
  timestamp: number;
  image_id: string;
  size_bytes: number;
  pruned: string[];
  packaging: Packaging;
}

export interface Environment {
  latest_timestamp: number;
  latest_tarball: string;
  all_versions: Tarball[];
}

export interface Version {
  timestamp: number;
  tarball: string;
  size_bytes: number;
  image_id: string | null;
  created: string | null;
  layers: number | null;
  own_bytes: number | null;
  pinned: boolean;
  newest: boolean;
  nodes: string[];
  problem: string | null;
  signature: string | null;
}

export interface Layer {
  diff_id: string;
  size_bytes: number;
}

export interface Layers {
  count: number;
  bytes: number;
  layers: Layer[];
}

export interface DiffLayers {
  shared: Layers;
  only_a: Layers;
  only_b: Layers;
}

export interface Package {
  name: string;
  version?: string;
  from?: string;
  to?: string;
  where?: string;
}

export interface PackageChanges {
  added: Package[];
  removed: Package[];
  upgraded: Package[];
}

export interface FileCount {
  count: number;
  bytes: number;
}

export interface FileChange {
  change: "added" | "changed" | "removed" | "touched" | "written";
  path: string;
  type: string;
  size_a: number | null;
  size_b: number | null;
  differs: string[];
}

export interface FileChanges {
  added: FileCount;
  changed: FileCount;
  removed: FileCount;
  touched: FileCount;
  written: FileCount;
  left_out: number;
  list: FileChange[];
}

export interface Diff {
  environment: string;
  a: Tarball;
  b: Tarball;
  layers: DiffLayers;
  packages: Record<string, PackageChanges>;
  files: FileChanges;
  notes: string[];
}

export interface Pin {
  message: string;
  timestamp: number;
  tarball: string;
  size_bytes: number;
  image_id: string | null;
  pinned: boolean;
}

export interface RollbackWish {
  container?: boolean;
}

export interface RolledBack {
  message: string;
  from: Tarball;
  timestamp: number;
  tarball: string;
  size_bytes: number;
  image_id: string | null;
  container: boolean;
  pruned: string[];
}

export interface Signed {
  message: string;
  timestamp: number;
  tarball: string;
  size_bytes: number;
  image_id: string | null;
  key: string;
}

export interface Key {
  id: string;
  public: string;
}

export interface Keys {
  signing: Key;
  believed: Key[];
}

export interface SyncWish {
  version?: string | number;
  nodes?: string[];
}

export interface NodeSync {
  hostname: string;
  ok: boolean;
  message: string | null;
  tarball: string | null;
  loaded: boolean;
  way: string | null;
  bytes_read: number;
}

export interface Synced {
  message: string;
  timestamp: number;
  tarball: string;
  size_bytes: number;
  image_id: string | null;
  failed: number;
  nodes: NodeSync[];
}

export interface DeleteWish {
  version?: string | number;
  all?: boolean;
  force?: boolean;
}

export interface Deleted {
  message: string;
  deleted: Tarball[];
}

export interface VerifiedVersion {
  environment: string;
  timestamp: number;
  tarball: string;
  size_bytes: number;
  image_id: string | null;
  state: "ok" | "damaged";
  reason: string | null;
  index: string | null;
  index_problem: string | null;
  signature: string | null;
  nodes: string[];
}

export interface Verified {
  ok: number;
  damaged: number;
  versions: VerifiedVersion[];
  read_bytes: number;
  read_seconds: number;
  advice: string | null;
}

export interface Nothing {
}

export interface Catalog {
  repositories: string[];
}

export interface Tags {
  name: string;
  tags: string[];
}

export interface NumaNode {
  cores: number[];
  memory_bytes: number;
}

export interface Gpu {
  gpu_id: number;
  name: string;
  driver_version: string;
  pci_bus_id: string;
  gpu_utilization: number;
  graphics_clock_mhz: number;
  mem_utilization: number;
  mem_clock_mhz: number;
  memory_total_mib: number;
  memory_used_mib: number;
  memory_free_mib: number;
  temperature: number;
  fan_speed: number;
  power_usage_mw: number;
  power_limit_mw: number;
}

export interface Load {
  hostname: string;
  status: "online" | "offline";
  last_heartbeat: string | null;
  cpu_percent: number;
  memory_percent: number;
  memory_used_bytes: number;
  memory_total_bytes: number;
  total_cores: number;
  numa_topology: Record<string, NumaNode> | null;
  current_avg_temp: number | null;
  current_max_temp: number | null;
  gpu_info: Gpu[];
}

export interface Node {
  hostname: string;
  status: "online" | "offline";
  last_heartbeat: string | null;
  cpu_percent: number;
  memory_percent: number;
  memory_used_bytes: number;
  memory_total_bytes: number;
  total_cores: number;
  numa_topology: Record<string, NumaNode> | null;
  current_avg_temp: number | null;
  current_max_temp: number | null;
  gpu_info: Gpu[];
  url: string | null;
  cores_in_use: number | string;
  available_cores: number;
  draining: boolean;
  host_tasks: boolean | null;
  vm_capable: boolean;
  vfio_gpus: unknown[];
  runner_version: string;
}

export interface NodeDetail {
  hostname: string;
  status: "online" | "offline";
  last_heartbeat: string | null;
  cpu_percent: number;
  memory_percent: number;
  memory_used_bytes: number;
  memory_total_bytes: number;
  total_cores: number;
  numa_topology: Record<string, NumaNode> | null;
  current_avg_temp: number | null;
  current_max_temp: number | null;
  gpu_info: Gpu[];
  url: string | null;
  cores_in_use: number | string;
  available_cores: number;
  draining: boolean;
  host_tasks: boolean | null;
  vm_capable: boolean;
  vfio_gpus: unknown[];
  runner_version: string;
  memory_promised_bytes: number;
  gpus_in_use: number[];
  exclusive_cpus: number[];
  environments: string[];
  tasks: Task[];
}

export type Measure = number | null;

export interface NodeHistory {
  start: number;
  cpu_percent: Measure[];
  memory_percent: Measure[];
  gpu_percent: Measure[];
  cores_in_use: Measure[];
}

export interface NodesHistory {
  step_seconds: number;
  nodes: Record<string, NodeHistory>;
}

export interface Drained {
  message: string;
  running: number;
}

export interface ForceWish {
  force?: boolean;
}

export interface LoadAggregate {
  totalNodes: number;
  onlineNodes: number;
  totalCores: number;
  totalMemBytes: number;
  usedMemBytes: number;
  avgCpuPercent: number;
  avgMemPercent: number;
  maxAvgCpuTemp: number | null;
  maxMaxCpuTemp: number | null;
  lastUpdated: string;
}

export interface Health {
  nodes: Load[][];
  aggregate: LoadAggregate[];
}

export type TaskState = "pending" | "assigning" | "syncing" | "running" | "paused" | "completed" | "failed" | "killed" | "killed_oom" | "lost" | "stopped";

export interface Submission {
  command?: string;
  arguments?: string[];
  name?: string;
  task_type?: "command" | "vps";
  env_vars?: Record<string, string>;
  working_dir?: string;
  container_name?: string;
  registry_image?: string;
  privileged?: boolean;
  additional_mounts?: string[];
  required_cores?: number;
  exclusive?: boolean;
  required_memory_bytes?: number;
  gpu_count?: number;
  required_gpus?: number[][];
  targets?: string[];
  no_wait?: boolean;
  priority?: number;
  retries?: number;
  time_limit_seconds?: number;
  stop_signal?: string;
  stop_grace_seconds?: number;
  on_partition?: "keep" | "stop";
  after?: string[];
  client_id?: string;
}

export interface Batch {
  tasks: Submission[];
  client_id?: string;
}

export interface TaskNode {
  hostname: string;
  url: string;
}

export interface FailedTarget {
  target: string;
  reason: string;
}

export interface RunnerResponse {
  ssh_port: number;
}

export interface Submitted {
  message: string;
  task_ids: string[];
  waiting?: string[];
  assigned_node?: TaskNode;
  failed_targets?: FailedTarget[];
  runner_response?: RunnerResponse;
}

export interface Workload {
  task_id: string;
  task_type: string;
  owner: string | null;
  batch_id: string | null;
  name: string | null;
  env_vars: Record<string, string>;
  working_dir: string;
  required_cores: number;
  exclusive: boolean;
  cpus: number[] | null;
  required_gpus: number[];
  required_memory_bytes: number | null;
  target_numa_node_id: number | null;
  status: TaskState;
  attempt: number;
  on_partition: "keep" | "stop";
  stop_signal: string;
  stop_grace_seconds: number;
  priority: number;
  target: string | null;
  assigned_node: string | null;
  container_name: string | null;
  registry_image: string | null;
  docker_image_name: string | null;
  docker_privileged: boolean;
  docker_mount_dirs: string[];
  exit_code: number | null;
  error_message: string | null;
  submitted_at: string | null;
  started_at: string | null;
  completed_at: string | null;
  image_id: string | null;
  tarball: string | null;
  version: number | null;
}

export interface Task {
  task_id: string;
  task_type: string;
  owner: string | null;
  batch_id: string | null;
  name: string | null;
  env_vars: Record<string, string>;
  working_dir: string;
  required_cores: number;
  exclusive: boolean;
  cpus: number[] | null;
  required_gpus: number[];
  required_memory_bytes: number | null;
  target_numa_node_id: number | null;
  status: TaskState;
  attempt: number;
  on_partition: "keep" | "stop";
  stop_signal: string;
  stop_grace_seconds: number;
  priority: number;
  target: string | null;
  assigned_node: string | null;
  container_name: string | null;
  registry_image: string | null;
  docker_image_name: string | null;
  docker_privileged: boolean;
  docker_mount_dirs: string[];
  exit_code: number | null;
  error_message: string | null;
  submitted_at: string | null;
  started_at: string | null;
  completed_at: string | null;
  image_id: string | null;
  tarball: string | null;
  version: number | null;
  command: string;
  arguments: string[];
  retries: number;
  time_limit_seconds: number | null;
  stdout_path: string;
  stderr_path: string;
}

export interface User {
  id: string;
  username: string;
  display_name: string;
}

export interface Vps {
  task_id: string;
  task_type: string;
  owner: string | null;
  batch_id: string | null;
  name: string | null;
  env_vars: Record<string, string>;
  working_dir: string;
  required_cores: number;
  exclusive: boolean;
  cpus: number[] | null;
  required_gpus: number[];
  required_memory_bytes: number | null;
  target_numa_node_id: number | null;
  status: TaskState;
  attempt: number;
  on_partition: "keep" | "stop";
  stop_signal: string;
  stop_grace_seconds: number;
  priority: number;
  target: string | null;
  assigned_node: string | null;
  container_name: string | null;
  registry_image: string | null;
  docker_image_name: string | null;
  docker_privileged: boolean;
  docker_mount_dirs: string[];
  exit_code: number | null;
  error_message: string | null;
  submitted_at: string | null;
  started_at: string | null;
  completed_at: string | null;
  image_id: string | null;
  tarball: string | null;
  version: number | null;
  assignees: User[];
  vps_backend: string;
  ssh_key_mode: "disabled" | "upload" | "generate" | "none";
  ssh_port: number;
}

export interface VpsMade {
  task_id: string;
  task_type: string;
  owner: string | null;
  batch_id: string | null;
  name: string | null;
  env_vars: Record<string, string>;
  working_dir: string;
  required_cores: number;
  exclusive: boolean;
  cpus: number[] | null;
  required_gpus: number[];
  required_memory_bytes: number | null;
  target_numa_node_id: number | null;
  status: TaskState;
  attempt: number;
  on_partition: "keep" | "stop";
  stop_signal: string;
  stop_grace_seconds: number;
  priority: number;
  target: string | null;
  assigned_node: string | null;
  container_name: string | null;
  registry_image: string | null;
  docker_image_name: string | null;
  docker_privileged: boolean;
  docker_mount_dirs: string[];
  exit_code: number | null;
  error_message: string | null;
  submitted_at: string | null;
  started_at: string | null;
  completed_at: string | null;
  image_id: string | null;
  tarball: string | null;
  version: number | null;
  assignees: User[];
  vps_backend: string;
  ssh_key_mode: "disabled" | "upload" | "generate" | "none";
  ssh_port: number;
  message: string;
  ssh_private_key?: string;
  ssh_public_key?: string;
}

export interface Assigned {
  message: string;
  task_id: string;
  assigned_users: string[];
}

export interface Assignment {
  user_id: string;
  username: string;
  display_name: string;
  assigned_at: string;
}

export interface Assignments {
  task_id: string;
  assignments: Assignment[];
}

export interface VpsAnswer {
  message: string;
  task_id: string;
}

export interface VpsWish {
  name?: string;
  container_name?: string;
  registry_image?: string;
  target_hostname?: string;
  target_numa_node_id?: number;
  targets?: string[];
  required_cores?: number;
  exclusive?: boolean;
  required_gpus?: unknown;
  gpu_count?: number;
  required_memory_bytes?: number;
  env_vars?: Record<string, string>;
  privileged?: boolean;
  additional_mounts?: string[];
  vps_backend?: "docker";
  ssh_key_mode?: "disabled" | "upload" | "generate" | "none";
  ssh_public_key?: string;
  priority?: number;
  no_wait?: boolean;
}

export interface StartWish {
  from?: string | number;
  fresh?: boolean;
  discard?: boolean;
}

export interface RestoreWish {
  snapshot?: string | number;
  discard?: boolean;
}

export interface Snapshot {
  tag: string;
  task_id: string;
  timestamp: number;
  size: number;
  own_bytes: number;
  created_at: string;
  message: string | null;
  in_use: boolean;
}

export interface Snapshots {
  task_id: string;
  snapshots: Snapshot[];
  count: number;
}

export interface SnapshotTag {
  task_id: string;
  tag: string;
}

export interface SnapshotWish {
  message?: string;
}

export interface SnapshotTaken {
  message: string;
  snapshot: Snapshot;
  tag: string;
}

export interface SnapshotsDeleted {
  message: string;
  deleted_count: number;
}

export interface PublishWish {
  name: string;
}

export interface VpsPublished {
  message: string;
  env_name: string;
  timestamp: number;
  tarball: string;
  image_id: string;
  size_bytes: number;
  pruned: string[];
}

export interface SharedTerminal {
  name: string;
  since: string;
  clients: number;
  watchers: number;
  rows: number;
  cols: number;
}

export interface TaskSummary {
  total: number;
  by_status: Record<string, number>;
}

export interface Predecessor {
  task_id: string;
  status: TaskState;
}

export interface Refusal {
  node: string;
  reason: string;
}

export interface Explanation {
  task_id: string;
  status: TaskState;
  node: string | null;
  placement: string | null;
  message: string;
  after?: Predecessor[];
  position?: number;
  kept_node?: string | null;
  reasons?: Refusal[];
}

export interface Killed {
  message: string;
  task_ids?: string[];
}

export interface InvitationWish {
  expires_seconds?: number;
}

export interface JoinWish {
  node: string;
}

export interface Joined {
  node: string;
  token: string;
}

export interface WhoAmI {
  user: string | null;
  role: string | null;
}

export type Role = "viewer" | "user" | "operator" | "admin";

export interface Token {
  id: string;
  user: string;
  role: "viewer" | "user" | "operator" | "admin" | "node" | "joiner";
  session: boolean;
  note: string | null;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
}

export interface TokenWish {
  user: string;
  role?: Role;
  expires_seconds?: number;
  note?: string;
}

export interface NewToken {
  id: string;
  user: string;
  role: "viewer" | "user" | "operator" | "admin" | "node" | "joiner";
  session: boolean;
  note: string | null;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
  token: string;
}

export interface Invitation {
  id: string;
  user: string;
  role: "viewer" | "user" | "operator" | "admin" | "node" | "joiner";
  session: boolean;
  note: string | null;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
  token: string;
  host_url: string;
}

export interface LoginWish {
  token: string;
}

export interface Session {
  user: string;
  role: Role;
  expires_at: string;
}

export interface TicketWish {
  path: string;
}

export interface Ticket {
  ticket: string;
  expires_in: number;
}

export interface Event {
  id: number;
  time: string;
  type: "task" | "node" | "environment" | "host" | "token";
  action: string;
  subject: string;
  owner: string | null;
  node: string | null;
  message: string | null;
}

export interface UtcOffset {
  since: number;
  seconds: number;
}

export interface HostVersion {
  version: string;
  api: number;
  auth: "token" | "none";
  time: string;
  utc_offsets: UtcOffset[];
}
