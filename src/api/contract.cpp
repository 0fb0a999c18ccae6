#include "api/contract.hpp"

namespace riverbox::api {

const std::string_view kShapes = R"(Error detail:string
Message message:string
Container id:string name:string env_name:string|null image:string status:string created:time managed:boolean latest:LatestTarball|null changed_bytes?:integer|null
ContainerWish image_name:string container_name:string
ContainerMade +Message container_id:string container_name:string env_name:string status:string
LatestTarball timestamp:integer tarball:string size_bytes:integer
Tarball +LatestTarball image_id:string|null
Packaging way:string why:string|null layers:integer layers_taken_over:integer bytes_taken_over:integer
Published message:string tarball_path:string env_name:string timestamp:integer image_id:string size_bytes:integer pruned:string[] packaging:Packaging
Environment latest_timestamp:integer latest_tarball:string all_versions:Tarball[]
Version +Tarball created:time|null layers:integer|null own_bytes:integer|null pinned:boolean newest:boolean nodes:string[] problem:string|null signature:string|null
Layer diff_id:string size_bytes:integer
Layers count:integer bytes:integer layers:Layer[]
DiffLayers shared:Layers only_a:Layers only_b:Layers
Package name:string version?:string from?:string to?:string where?:string
PackageChanges added:Package[] removed:Package[] upgraded:Package[]
FileCount count:integer bytes:integer
FileChange change:'added,changed,removed,touched,written' path:string type:string size_a:integer|null size_b:integer|null differs:string[]
FileChanges added:FileCount changed:FileCount removed:FileCount touched:FileCount written:FileCount left_out:integer list:FileChange[]
Diff environment:string a:Tarball b:Tarball layers:DiffLayers packages:PackageChanges{} files:FileChanges notes:string[]
Pin +Message +Tarball pinned:boolean
RollbackWish container?:boolean
RolledBack message:string from:Tarball +Tarball container:boolean pruned:string[]
Signed +Message +Tarball key:string
Key id:string public:string
Keys signing:Key believed:Key[]
SyncWish version?:string|integer nodes?:string[]
NodeSync hostname:string ok:boolean message:string|null tarball:string|null loaded:boolean way:string|null bytes_read:integer
Synced +Message +Tarball failed:integer nodes:NodeSync[]
DeleteWish version?:string|integer all?:boolean force?:boolean
Deleted message:string deleted:Tarball[]
VerifiedVersion environment:string +Tarball state:'ok,damaged' reason:string|null index:string|null index_problem:string|null signature:string|null nodes:string[]
Verified ok:integer damaged:integer versions:VerifiedVersion[] read_bytes:integer read_seconds:number advice:string|null
Nothing
Catalog repositories:string[]
Tags name:string tags:string[]
NumaNode cores:integer[] memory_bytes:integer
Gpu gpu_id:integer name:string driver_version:string pci_bus_id:string gpu_utilization:integer graphics_clock_mhz:integer mem_utilization:integer mem_clock_mhz:integer memory_total_mib:number memory_used_mib:number memory_free_mib:number temperature:integer fan_speed:integer power_usage_mw:integer power_limit_mw:integer
Load hostname:string status:'online,offline' last_heartbeat:string|null cpu_percent:number memory_percent:number memory_used_bytes:integer memory_total_bytes:integer total_cores:integer numa_topology:NumaNode{}|null current_avg_temp:number|null current_max_temp:number|null gpu_info:Gpu[]
Node +Load url:string|null cores_in_use:integer|string available_cores:integer draining:boolean host_tasks:boolean|null vm_capable:boolean vfio_gpus:any[] runner_version:string
NodeDetail +Node memory_promised_bytes:integer gpus_in_use:integer[] exclusive_cpus:integer[] environments:string[] tasks:Task[]
Measure =number|null
NodeHistory start:integer cpu_percent:Measure[] memory_percent:Measure[] gpu_percent:Measure[] cores_in_use:Measure[]
NodesHistory step_seconds:integer nodes:NodeHistory{}
Drained message:string running:integer
ForceWish force?:boolean
LoadAggregate totalNodes:integer onlineNodes:integer totalCores:integer totalMemBytes:integer usedMemBytes:integer avgCpuPercent:number avgMemPercent:number maxAvgCpuTemp:number|null maxMaxCpuTemp:number|null lastUpdated:string
Health nodes:Load[][] aggregate:LoadAggregate[]
TaskState ='pending,assigning,syncing,running,paused,completed,failed,killed,killed_oom,lost,stopped'
Submission command?:string arguments?:string[] name?:string task_type?:'command,vps' env_vars?:string{} working_dir?:string container_name?:string registry_image?:string privileged?:boolean additional_mounts?:string[] required_cores?:integer exclusive?:boolean required_memory_bytes?:integer gpu_count?:integer required_gpus?:integer[][] targets?:string[] no_wait?:boolean priority?:integer retries?:integer time_limit_seconds?:integer stop_signal?:string stop_grace_seconds?:integer on_partition?:'keep,stop' after?:string[] client_id?:string
Batch tasks:Submission[] client_id?:string
TaskNode hostname:string url:string
FailedTarget target:string reason:string
RunnerResponse ssh_port:integer
Submitted message:string task_ids:string[] waiting?:string[] assigned_node?:TaskNode failed_targets?:FailedTarget[] runner_response?:RunnerResponse
Workload task_id:string task_type:string owner:string|null batch_id:string|null name:string|null env_vars:string{} working_dir:string required_cores:integer exclusive:boolean cpus:integer[]|null required_gpus:integer[] required_memory_bytes:integer|null target_numa_node_id:integer|null status:TaskState attempt:integer on_partition:'keep,stop' stop_signal:string stop_grace_seconds:integer priority:integer target:string|null assigned_node:string|null container_name:string|null registry_image:string|null docker_image_name:string|null docker_privileged:boolean docker_mount_dirs:string[] exit_code:integer|null error_message:string|null submitted_at:string|null started_at:string|null completed_at:string|null image_id:string|null tarball:string|null version:integer|null
Task +Workload command:string arguments:string[] retries:integer time_limit_seconds:integer|null stdout_path:string stderr_path:string
User id:string username:string display_name:string
Vps +Workload assignees:User[] vps_backend:string ssh_key_mode:'disabled,upload,generate,none' ssh_port:integer
VpsMade +Vps message:string ssh_private_key?:string ssh_public_key?:string
Assigned +VpsAnswer assigned_users:string[]
Assignment user_id:string username:string display_name:string assigned_at:string
Assignments task_id:string assignments:Assignment[]
VpsAnswer message:string task_id:string
VpsWish name?:string container_name?:string registry_image?:string target_hostname?:string target_numa_node_id?:integer targets?:string[] required_cores?:integer exclusive?:boolean required_gpus?:any gpu_count?:integer required_memory_bytes?:integer env_vars?:string{} privileged?:boolean additional_mounts?:string[] vps_backend?:'docker' ssh_key_mode?:'disabled,upload,generate,none' ssh_public_key?:string priority?:integer no_wait?:boolean
StartWish from?:string|integer fresh?:boolean discard?:boolean
RestoreWish snapshot?:string|integer discard?:boolean
Snapshot tag:string task_id:string timestamp:integer size:integer own_bytes:integer created_at:time message:string|null in_use:boolean
Snapshots task_id:string snapshots:Snapshot[] count:integer
SnapshotTag task_id:string tag:string
SnapshotWish message?:string
SnapshotTaken message:string snapshot:Snapshot tag:string
SnapshotsDeleted message:string deleted_count:integer
PublishWish name:string
VpsPublished message:string env_name:string timestamp:integer tarball:string image_id:string size_bytes:integer pruned:string[]
SharedTerminal name:string since:time clients:integer watchers:integer rows:integer cols:integer
TaskSummary total:integer by_status:integer{}
Predecessor task_id:string status:TaskState
Refusal node:string reason:string
Explanation task_id:string status:TaskState node:string|null placement:string|null message:string after?:Predecessor[] position?:integer kept_node?:string|null reasons?:Refusal[]
Killed message:string task_ids?:string[]
InvitationWish expires_seconds?:integer
JoinWish node:string
Joined node:string token:string
WhoAmI user:string|null role:string|null
Role ='viewer,user,operator,admin'
Token id:string user:string role:'viewer,user,operator,admin,node,joiner' session:boolean note:string|null created_at:time expires_at:time|null last_used_at:time|null
TokenWish user:string role?:Role expires_seconds?:integer note?:string
NewToken +Token token:string
Invitation +NewToken host_url:string
LoginWish token:string
Session user:string role:Role expires_at:time
TicketWish path:string
Ticket ticket:string expires_in:integer
Event id:integer time:time type:'task,node,environment,host,token' action:string subject:string owner:string|null node:string|null message:string|null
UtcOffset since:integer seconds:integer
HostVersion version:string api:integer auth:'token,none' time:time utc_offsets:UtcOffset[])";

const std::string_view kExchanges = R"(GET /docker/host/containers ?all,size >Container[]
POST /docker/host/create <ContainerWish >ContainerMade
POST /docker/host/start/{name} >Message
POST /docker/host/stop/{name} >Message
POST /docker/host/delete/{name} >Message
POST /docker/create_tar/{name} ?squash >Published
GET /docker/list >Environment{}
GET /docker/container/{name} >application/x-tar >206:application/x-tar
GET /docker/versions/{name} >Version[]
GET /docker/versions/{name}/diff ?a,b >Diff
GET /docker/versions/{name}/{version}/tarball >application/x-tar >206:application/x-tar
POST /docker/versions/{name}/{version}/pin >Pin
POST /docker/versions/{name}/{version}/unpin >Pin
POST /docker/versions/{name}/{version}/rollback <RollbackWish >RolledBack
POST /docker/versions/{name}/{version}/sign >Signed
GET /docker/keys >Keys
POST /docker/sync/{name} <SyncWish >Synced
POST /docker/delete_tar/{name} <DeleteWish >Deleted
POST /docker/verify >Verified
POST /docker/verify/{name} >Verified
GET /v2/ >Nothing
GET /v2/_catalog ?n,last >Catalog
GET /v2/{name}/tags/list ?n,last >Tags
GET /v2/{name}/manifests/{reference} >application/vnd.oci.image.manifest.v1+json
GET /v2/{name}/blobs/{digest} >application/octet-stream >206:application/octet-stream
GET /nodes >Node[]
GET /nodes/history ?hours >NodesHistory
GET /nodes/{name} >NodeDetail
POST /nodes/{name}/drain >Drained
POST /nodes/{name}/resume >Message
POST /nodes/{name}/remove <ForceWish >Message
GET /health ?hostname >Health|Load[]
POST /submit <Submission >202:Submitted
POST /submit/batch <Batch >202:Submitted
GET /status/{id} >Task
GET /tasks/{id}/explain >Explanation
POST /tasks/{id}/rerun >202:Submitted
GET /tasks ?status,node,owner,environment,q,before,limit,offset >Task[]
GET /tasks/summary >TaskSummary
POST /kill/{id} ?batch >202:Killed
POST /command/{id}/{action} >Message
GET /task/{id}/stdout ?tail >text/plain >206:text/plain
GET /task/{id}/stderr ?tail >text/plain >206:text/plain
GET /tasks/{id}/stdout ?tail >text/plain >206:text/plain
GET /tasks/{id}/stderr ?tail >text/plain >206:text/plain
GET /tasks/{id}/sessions >SharedTerminal[]
GET /tasks/{id}/events ?since >text/event-stream
POST /vps/create <VpsWish >VpsMade
GET /vps ?active >Vps[]
GET /vps/status >Vps[]
GET /vps/my >Vps[]
GET /vps/{id} >Vps
POST /vps/stop/{id} >202:VpsAnswer
POST /vps/start/{id} <StartWish >202:VpsAnswer
POST /vps/restart/{id} <StartWish >202:VpsAnswer
POST /vps/restore/{id} <RestoreWish >202:VpsAnswer
GET /vps/snapshots/{id} >Snapshots
POST /vps/snapshots/{id} ?message <SnapshotWish >SnapshotTaken
DELETE /vps/snapshots/{id} >SnapshotsDeleted
GET /vps/snapshots/{id}/latest >SnapshotTag
DELETE /vps/snapshots/{id}/{snapshot} >Message
POST /vps/publish/{id} <PublishWish >VpsPublished
POST /vps/remove/{id} >VpsAnswer
POST /vps/{id}/assign <string[] >Assigned
DELETE /vps/{id}/assign/{user_id} >VpsAnswer
GET /vps/{id}/assignments >Assignments
POST /nodes/invite <InvitationWish >201:Invitation
POST /nodes/join <JoinWish >201:Joined
GET /whoami >WhoAmI
GET /tokens >Token[]
POST /tokens <TokenWish >201:NewToken
POST /tokens/{id}/revoke >Message
GET /events ?since,until,type,subject,limit,after,nodes >Event[]
GET / >text/html
GET /assets/{file} >text/javascript
GET /icon.svg >image/svg+xml
GET /login >text/html
POST /login <LoginWish >Session
POST /logout >Message
POST /tickets <TicketWish >201:Ticket
GET /metrics >text/plain
GET /openapi.json >any
GET /version >HostVersion
GET /complete/{kind} ?name >string[])";

}  // namespace riverbox::api
