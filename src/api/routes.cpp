// The table. To find what answers a path, look here.
#include "api/handlers.hpp"

namespace riverbox::api {

const std::vector<Route>& routes() {
  static const std::vector<Route> table{
      // environments: containers on the host, archives on the share
      {"GET", "/docker/host/containers", Lane::docker, Access::viewer, list_containers, "Environment containers"},
      {"POST", "/docker/host/create", Lane::slow, Access::operator_, create_container, "Make an environment container from an image"},
      {"POST", "/docker/host/start/{name}", Lane::docker, Access::operator_, start_container, "Start an environment container"},
      {"POST", "/docker/host/stop/{name}", Lane::docker, Access::operator_, stop_container, "Stop an environment container"},
      {"POST", "/docker/host/delete/{name}", Lane::docker, Access::operator_, delete_container, "Delete an environment container; its tarballs stay"},
      {"POST", "/docker/create_tar/{name}", Lane::slow, Access::operator_, create_tar, "Package an environment as a new version"},
      {"GET", "/docker/list", Lane::share, Access::viewer, list_archives, "Environments and their versions"},
      {"GET", "/docker/container/{name}", Lane::transfer, Access::puller, download_archive, "Download the newest tarball"},
      // versions of environments
      {"GET", "/docker/versions/{name}", Lane::share, Access::viewer, list_versions, "Versions of an environment"},
      {"GET", "/docker/versions/{name}/diff", Lane::slow, Access::viewer, diff_versions, "What two versions differ in"},
      {"GET", "/docker/versions/{name}/{version}/tarball", Lane::transfer, Access::puller, download_version, "Download the tarball of a version"},
      {"POST", "/docker/versions/{name}/{version}/pin", Lane::share, Access::operator_, pin_version, "Keep a version from being pruned"},
      {"POST", "/docker/versions/{name}/{version}/unpin", Lane::share, Access::operator_, unpin_version, "Let a version be pruned again"},
      {"POST", "/docker/versions/{name}/{version}/rollback", Lane::slow, Access::operator_, roll_back, "Make an older version the newest again"},
      {"POST", "/docker/versions/{name}/{version}/sign", Lane::slow, Access::operator_, sign_version, "Vouch for a version that somebody else has made"},
      {"GET", "/docker/keys", Lane::state, Access::viewer, version_keys, "The keys with which versions are signed"},
      {"POST", "/docker/sync/{name}", Lane::slow, Access::operator_, sync_version, "Bring a version to nodes now"},
      {"POST", "/docker/delete_tar/{name}", Lane::share, Access::operator_, delete_tar, "Delete versions"},
      {"POST", "/docker/verify", Lane::slow, Access::operator_, verify_versions, "Check all tarballs"},
      {"POST", "/docker/verify/{name}", Lane::slow, Access::operator_, verify_versions, "Check the tarballs of an environment"},
      // the share as a registry (OCI distribution, pull)
      {"GET", "/v2/", Lane::state, Access::puller, registry_root, "Registry: is it one"},
      {"GET", "/v2/_catalog", Lane::share, Access::puller, registry_catalog, "Registry: the repositories"},
      {"GET", "/v2/{name}/tags/list", Lane::share, Access::puller, registry_tags, "Registry: the tags of a repository"},
      {"GET", "/v2/{name}/manifests/{reference}", Lane::share, Access::puller, registry_manifest, "Registry: a manifest"},
      {"GET", "/v2/{name}/blobs/{digest}", Lane::transfer, Access::puller, registry_blob, "Registry: a blob"},
      // nodes
      {"GET", "/nodes", Lane::state, Access::viewer, list_nodes, "Nodes and how busy they are", Answer::shared},
      {"GET", "/nodes/history", Lane::state, Access::viewer, node_history, "How busy the nodes were, minute by minute"},  // before the next: a node of that name has no page of its own
      {"GET", "/nodes/{name}", Lane::state, Access::viewer, show_node, "A node and what runs there"},
      {"POST", "/nodes/{name}/drain", Lane::state, Access::operator_, drain_node, "Start nothing new on a node"},
      {"POST", "/nodes/{name}/resume", Lane::state, Access::operator_, resume_node, "Let a node take tasks again"},
      {"POST", "/nodes/{name}/remove", Lane::state, Access::admin, remove_node, "Forget a node"},
      {"GET", "/health", Lane::state, Access::viewer, health, "Load and temperatures of the nodes"},
      // tasks
      {"POST", "/submit", Lane::share, Access::user, submit, "Submit a task"},
      {"POST", "/submit/batch", Lane::share, Access::user, submit_batch, "Submit many tasks, all or none"},
      {"GET", "/status/{id}", Lane::state, Access::user, task_status, "A task"},
      {"GET", "/tasks/{id}/explain", Lane::state, Access::user, explain_task, "Why a task is where it is"},
      {"POST", "/tasks/{id}/rerun", Lane::state, Access::user, rerun_task, "Submit a task once more"},
      {"GET", "/tasks", Lane::state, Access::user, list_tasks, "Tasks, newest first", Answer::kept},
      {"GET", "/tasks/summary", Lane::state, Access::user, summarize_tasks, "How many tasks there are in each state", Answer::kept},
      {"POST", "/kill/{id}", Lane::state, Access::user, kill_task, "Kill a task or its batch"},
      {"POST", "/command/{id}/{action}", Lane::state, Access::user, control_task, "Pause or resume a task"},
      {"GET", "/task/{id}/stdout", Lane::state, Access::user, task_stdout, "Output of a task (older path)"},
      {"GET", "/task/{id}/stderr", Lane::state, Access::user, task_stderr, "Errors of a task (older path)"},
      {"GET", "/tasks/{id}/stdout", Lane::state, Access::user, task_stdout, "Output of a task"},
      {"GET", "/tasks/{id}/stderr", Lane::state, Access::user, task_stderr, "Errors of a task"},
      {"GET", "/tasks/{id}/sessions", Lane::state, Access::user, list_sessions, "Terminals in a running task that clients share"},
      {"GET", "/tasks/{id}/events", Lane::state, Access::user, task_events, "States and output of a task as they come (Server-Sent Events)"},
      // VPSs
      {"POST", "/vps/create", Lane::share, Access::user, create_vps, "Make a VPS"},
      {"GET", "/vps", Lane::state, Access::user, list_vpses, "VPSs, newest first", Answer::kept},
      {"GET", "/vps/status", Lane::state, Access::user, list_active_vpses, "VPSs that have not ended, newest first", Answer::kept},
      {"GET", "/vps/my", Lane::state, Access::user, list_shared_vpses, "VPSs of others that are shared with the one who asks", Answer::kept},
      {"GET", "/vps/{id}", Lane::state, Access::user, show_vps, "A VPS"},
      {"POST", "/vps/stop/{id}", Lane::state, Access::user, stop_vps, "Stop a VPS; what is in it stays"},
      {"POST", "/vps/start/{id}", Lane::state, Access::user, start_vps, "Start a VPS again"},
      {"POST", "/vps/restart/{id}", Lane::state, Access::user, restart_vps, "Stop a VPS and start it again"},
      {"POST", "/vps/restore/{id}", Lane::state, Access::user, restore_vps, "Start a VPS again as a snapshot of it was"},
      {"GET", "/vps/snapshots/{id}", Lane::state, Access::user, list_snapshots, "Snapshots of a VPS, newest first"},
      {"POST", "/vps/snapshots/{id}", Lane::state, Access::user, take_snapshot, "Take a snapshot of a VPS"},
      {"DELETE", "/vps/snapshots/{id}", Lane::state, Access::user, delete_snapshots, "Delete the snapshots of a VPS"},
      {"GET", "/vps/snapshots/{id}/latest", Lane::state, Access::user, latest_snapshot, "The newest snapshot of a VPS"},
      {"DELETE", "/vps/snapshots/{id}/{snapshot}", Lane::state, Access::user, delete_snapshot, "Delete a snapshot"},
      {"POST", "/vps/publish/{id}", Lane::state, Access::operator_, publish_vps, "Publish a VPS as a new version of an environment"},
      {"POST", "/vps/remove/{id}", Lane::state, Access::user, remove_vps, "Remove a VPS, and what is in it"},
      {"POST", "/vps/{id}/assign", Lane::state, Access::user, share_vps, "Let users into a VPS"},
      {"DELETE", "/vps/{id}/assign/{user_id}", Lane::state, Access::user, unshare_vps, "Let a user into a VPS no more"},
      {"GET", "/vps/{id}/assignments", Lane::state, Access::user, vps_guests, "With whom a VPS is shared"},
      // who may do what
      {"POST", "/nodes/invite", Lane::state, Access::admin, invite_node, "Make a token with which runners join"},
      {"POST", "/nodes/join", Lane::state, Access::joiner, join_node, "Become a node"},
      {"GET", "/whoami", Lane::state, Access::viewer, who_am_i, "Who asks, and in which role"},
      {"GET", "/tokens", Lane::state, Access::admin, list_tokens, "Tokens of users"},
      {"POST", "/tokens", Lane::state, Access::admin, create_token, "Make a token"},
      {"POST", "/tokens/{id}/revoke", Lane::state, Access::admin, revoke_token, "Take a token back"},
      // browsers
      {"GET", "/", Lane::state, Access::open, show_home, "Where a browser begins"},
      {"GET", "/assets/{file}", Lane::state, Access::open, show_asset, "A part of the dashboard"},
      {"GET", "/icon.svg", Lane::state, Access::open, show_icon, "The icon of the dashboard"},
      {"GET", "/login", Lane::state, Access::open, show_login, "The page to log in on"},
      {"POST", "/login", Lane::state, Access::open, log_in, "Open a session with a token"},
      {"POST", "/logout", Lane::state, Access::open, log_out, "End the session"},
      {"POST", "/tickets", Lane::state, Access::viewer, make_ticket, "Make a ticket with which a browser opens a WebSocket, once and soon"},
      // the product itself
      {"GET", "/events", Lane::state, Access::viewer, list_events, "What has happened, or happens (Server-Sent Events)"},
      {"GET", "/metrics", Lane::state, Access::viewer, metrics, "What the host counts, for Prometheus"},
      {"GET", "/openapi.json", Lane::state, Access::open, openapi, "This description of the API"},
      {"GET", "/version", Lane::state, Access::open, version, "Version of the host"},
      {"GET", "/complete/{kind}", Lane::docker, Access::viewer, complete, "Names for shell completion"},
  };
  return table;
}

}  // namespace riverbox::api
