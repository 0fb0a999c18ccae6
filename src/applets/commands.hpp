// The entry points of the applets: run_<name>() for the table in main.cpp, <name>_command() describes the command line.
#pragma once
#include "applets/applet.hpp"

namespace riverbox::applets {

int run_classic_ssh(const Invocation& invocation);  // hakuriver.ssh
int run_client(const Invocation& invocation);
int run_complete(const Invocation& invocation);
int run_completion(const Invocation& invocation);
int run_config(const Invocation& invocation);
int run_connect(const Invocation& invocation);
int run_docker(const Invocation& invocation);
int run_docker_shell(const Invocation& invocation);
int run_doctor(const Invocation& invocation);
int run_events(const Invocation& invocation);
int run_forward(const Invocation& invocation);
int run_host(const Invocation& invocation);
int run_node(const Invocation& invocation);
int run_runner(const Invocation& invocation);
int run_scp(const Invocation& invocation);
int run_ssh(const Invocation& invocation);
int run_ssh_config(const Invocation& invocation);
int run_ssh_server(const Invocation& invocation);
int run_supervise(const Invocation& invocation);
int run_task(const Invocation& invocation);
int run_token(const Invocation& invocation);
int run_tunnel_client(const Invocation& invocation);
int run_up(const Invocation& invocation);
int run_version(const Invocation& invocation);
int run_vps(const Invocation& invocation);
int run_vps_init(const Invocation& invocation);

const Command& client_command();
const Command& completion_command();
const Command& config_command();
const Command& connect_command();
const Command& docker_command();
const Command& docker_shell_command();
const Command& doctor_command();
const Command& events_command();
const Command& forward_command();
const Command& host_command();
const Command& node_command();
const Command& runner_command();
const Command& ssh_command();
const Command& ssh_config_command();
const Command& ssh_server_command();
const Command& task_command();
const Command& token_command();
const Command& tunnel_client_command();
const Command& up_command();
const Command& version_command();
const Command& vps_command();

}  // namespace riverbox::applets
