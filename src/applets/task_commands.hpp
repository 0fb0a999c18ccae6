// What `client`, `task` and `node` share: submitting, looking at and steering tasks.
#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "applets/applet.hpp"
#include "applets/cli.hpp"
#include "applets/output.hpp"

namespace riverbox::applets {

class ApiClient;

// The options of a submission: --target, --container, --cores, ...
std::vector<Option> submit_options();
// A task's id as an argument, with completion.
Argument task_argument();

// Where it runs, in what, and with how much: what tasks and VPSs have in common. Throws UsageError that names the option and what is wrong.
void add_workload(Json& body, const Arguments& arguments);
// The body of POST /api/submit. Throws likewise.
Json submission(const Arguments& arguments);

int submit(const Invocation& invocation, const Arguments& arguments);
// What the host said to a submission; with --wait, what becomes of it.
int tell_submitted(const Invocation& invocation, const Arguments& arguments, const ApiClient& api, const Json& answer);
int show_status(const Invocation& invocation, const Arguments& arguments);
int explain_task(const Invocation& invocation, const Arguments& arguments);
int kill_task(const Invocation& invocation, const Arguments& arguments);
int command_task(const Arguments& arguments, const std::string& action);  // pause, resume
int rerun_task(const Invocation& invocation, const Arguments& arguments);
int open_task_shell(const Arguments& arguments);
int watch_task(const Invocation& invocation, const Arguments& arguments);
int show_logs(const Invocation& invocation, const Arguments& arguments);
// --tail of the commands that print output.
Option tail_option();
// One stream of a task, "stdout" or "stderr", as data on stdout.
int show_stream(const Arguments& arguments, const std::string& stream);
int list_tasks(const Invocation& invocation, const Arguments& arguments);
int list_nodes(const Invocation& invocation, const Arguments& arguments);
int show_health(const Invocation& invocation, const Arguments& arguments);

// The subcommands status, kill, command and logs, the same in `client` and `task`.
Command status_subcommand();
Command kill_subcommand();
Command command_subcommand();
Command logs_subcommand();

}  // namespace riverbox::applets
