// The handlers behind the rows of routes.cpp. Each runs on the lane of its row, may block and throw, and answers exactly once.
#pragma once
#include <memory>

#include "api/route.hpp"
#include "host/tasks.hpp"

namespace riverbox::api {

using CallPtr = std::shared_ptr<Call>;

// Runs `work` on another lane; its errors become the answer.
void on_lane(CallPtr call, Lane lane, void (*work)(CallPtr));
void on_lane(CallPtr call, Lane lane, std::function<void()> work);

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
// vps_handlers.cpp
void create_vps(CallPtr), list_vpses(CallPtr), show_vps(CallPtr), stop_vps(CallPtr), start_vps(CallPtr), restart_vps(CallPtr), remove_vps(CallPtr);
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
