// The one executable: which function a name means. Everything else is in the folders.
#include "applets/commands.hpp"
#include "os/process.hpp"

using namespace riverbox::applets;

namespace {

// Sorted by name. Without a summary a row is hidden.
constexpr Applet kApplets[] = {
    {"__complete", run_complete, nullptr, ""},
    {"__scp", run_scp, nullptr, ""},
    {"__supervise", run_supervise, nullptr, ""},
    {"client", run_client, client_command, "Submit a task, look at tasks and nodes"},
    {"completion", run_completion, completion_command, "Print the completion script of a shell"},
    {"config", run_config, config_command, "Show the configuration and where each value comes from"},
    {"connect", run_connect, connect_command, "Join the terminal of a running task or VPS, which others may share"},
    {"docker", run_docker, docker_command, "Manage environment containers and their tarballs"},
    {"docker-shell", run_docker_shell, docker_shell_command, "Open a shell in an environment container"},
    {"doctor", run_doctor, doctor_command, "Say what is wrong with this machine, and what mends it"},
    {"events", run_events, events_command, "Show what has happened: tasks, nodes, environments"},
    {"forward", run_forward, forward_command, "Reach ports of a task or VPS from this machine, and back"},
    {"host", run_host, host_command, "Run the host: the API, the environments, the scheduler"},
    {"node", run_node, node_command, "List the nodes and how busy they are"},
    {"runner", run_runner, runner_command, "Run the agent of a compute node"},
    {"ssh", run_ssh, ssh_command, "Log in to a VPS with ssh"},
    {"ssh-config", run_ssh_config, ssh_config_command, "Make plain ssh, scp and rsync know the VPSs"},
    {"ssh-server", run_ssh_server, ssh_server_command, ""},
    {"task", run_task, task_command, "Submit and control tasks"},
    {"token", run_token, token_command, "Make and revoke tokens: who may do what on the host"},
    {"tunnel-client", run_tunnel_client, tunnel_client_command, ""},
    {"up", run_up, up_command, "Host and runner in one process on this machine; the quickest way to try it"},
    {"version", run_version, version_command, "Print the version"},
    {"vps", run_vps, vps_command, "Machines of your own: containers to live in"},
    {"vps-init", run_vps_init, nullptr, ""},
};
static_assert(sorted_by_name(kApplets));

}  // namespace

int main(int argc, char** argv) {
  riverbox::os::init_runtime();
  return dispatch(kApplets, argc, argv);
}
