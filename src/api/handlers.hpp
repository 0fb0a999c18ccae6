// The handlers behind the rows of routes.cpp. Each runs on the lane of its row, may block and throw, and answers exactly once.
#pragma once
#include <chrono>
#include <memory>

#include "api/route.hpp"
#include "host/tasks.hpp"
#include "host/vpses.hpp"

namespace riverbox::api {

using CallPtr = std::shared_ptr<Call>;

// Runs `work` on another lane; its errors become the answer.
void on_lane(CallPtr call, Lane lane, void (*work)(CallPtr));
void on_lane(CallPtr call, Lane lane, std::function<void()> work);
void on_lane_after(std::chrono::milliseconds wait, CallPtr call, Lane lane, std::function<void()> work);

// environment_handlers.cpp
void list_containers(CallPtr), create_container(CallPtr), start_container(CallPtr), stop_container(CallPtr), delete_container(CallPtr);
void create_tar(CallPtr), list_archives(CallPtr), download_archive(CallPtr), download_version(CallPtr);
// version_handlers.cpp
void list_versions(CallPtr), diff_versions(CallPtr), pin_version(CallPtr), unpin_version(CallPtr), delete_tar(CallPtr), verify_versions(CallPtr);
void roll_back(CallPtr), sync_version(CallPtr), sign_version(CallPtr), version_keys(CallPtr);
// registry_handlers.cpp
void registry_root(CallPtr), registry_catalog(CallPtr), registry_tags(CallPtr), registry_manifest(CallPtr), registry_blob(CallPtr);
// task_handlers.cpp
void submit(CallPtr), submit_batch(CallPtr), task_status(CallPtr), explain_task(CallPtr), list_tasks(CallPtr), summarize_tasks(CallPtr), rerun_task(CallPtr), kill_task(CallPtr), control_task(CallPtr);
// Which archive each of them is to run in, and whether this one may ask for it. Blocks (share).
void find_archives(Call& call, std::vector<host::Submission>& submissions);
// What POST /submit answers.
nlohmann::ordered_json submitted_shape(Call& call, const host::Submitted& submitted);
// task_terminal.cpp
void list_sessions(CallPtr);
// vps_handlers.cpp
int ssh_port_of(const VpsSpec& vps);  // in the container: a node has no port for it, the way there goes through the host. 0: there is no SSH in it
void create_vps(CallPtr), list_vpses(CallPtr), list_active_vpses(CallPtr), show_vps(CallPtr), stop_vps(CallPtr), start_vps(CallPtr), restart_vps(CallPtr), remove_vps(CallPtr);
// Of the route's {id}, an id or a name. Throw NotFound when it is not there for this one; own_vps() Forbidden when it is only shared with them.
store::TaskRecord asked_vps(Call& call);
store::TaskRecord own_vps(Call& call);
nlohmann::ordered_json vps_shape(Call& call, const store::TaskRecord& vps);
nlohmann::ordered_json user_shape(const std::string& name);  // KohakuRiver's users have numbers and names for display; ours are their names
// vps_sharing.cpp
void share_vps(CallPtr), unshare_vps(CallPtr), vps_guests(CallPtr), list_shared_vpses(CallPtr);
// classic_vps.cpp
void submit_vps(CallPtr);
// snapshot_handlers.cpp
void list_snapshots(CallPtr), latest_snapshot(CallPtr), take_snapshot(CallPtr), delete_snapshot(CallPtr), delete_snapshots(CallPtr), restore_vps(CallPtr), publish_vps(CallPtr);
// What the body of a start says it is to begin with: looks it up on the node where it is a snapshot, and goes on with `then` on the state worker. State worker.
void find_beginning(CallPtr call, const store::TaskRecord& vps, std::function<void(const host::Vpses::Beginning&)> then);
void begin_again(CallPtr call, const store::TaskRecord& vps, const host::Vpses::Beginning& beginning);  // stops it first
// output_handlers.cpp, event_stream.cpp
void task_stdout(CallPtr), task_stderr(CallPtr), task_events(CallPtr);
// login_handlers.cpp
void show_login(CallPtr), log_in(CallPtr), log_out(CallPtr), make_ticket(CallPtr);
// dashboard_handlers.cpp
void show_home(CallPtr), show_asset(CallPtr), show_icon(CallPtr);
// event_handlers.cpp
void list_events(CallPtr);
// openapi.cpp
void openapi(CallPtr);
// token_handlers.cpp
void invite_node(CallPtr), join_node(CallPtr), who_am_i(CallPtr), list_tokens(CallPtr), create_token(CallPtr), revoke_token(CallPtr);
// node_handlers.cpp
void list_nodes(CallPtr), show_node(CallPtr), node_history(CallPtr), drain_node(CallPtr), resume_node(CallPtr), remove_node(CallPtr), health(CallPtr), version(CallPtr), metrics(CallPtr), complete(CallPtr);

}  // namespace riverbox::api
