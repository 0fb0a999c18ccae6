// riverbox docker-shell: a terminal in an environment container; and what it shares with `riverbox task shell`.
#include "applets/terminal.hpp"

#include "applets/api_client.hpp"
#include "applets/commands.hpp"
#include "net/url.hpp"

namespace riverbox::applets {

Option detach_keys_option(const char* help) { return {.names = "--detach-keys", .value = "KEYS", .help = help}; }

int run_terminal(const Arguments& arguments, const std::string& path, terminal::ClientOptions options) {
  options.detach_keys = arguments.value("--detach-keys", options.detach_keys);
  terminal::parse_detach_keys(options.detach_keys);  // a typing error is told before anything is opened
  const net::HostAccess access = net::host_access(client_config(arguments));
  options.url = net::at_host(access.url, path);
  options.token = access.token;
  return terminal::run_client(options);
}

const Command& docker_shell_command() {
  static const Command command{
      .name = "docker-shell",
      .examples = "# change an environment, then package it\n"
                  "{docker-shell} my-env\n"
                  "{docker} create-tar my-env\n"
                  "# run commands without a terminal\n"
                  "echo 'pip install numpy' | {docker-shell} my-env",
      .details = "Opens bash, or sh where there is no bash, in a running environment container on the host. Its exit\n"
                 "status becomes ours. A stopped container is started with: {docker} start-container NAME",
      .arguments = {{.name = "NAME", .help = "the name of the environment", .complete = "containers"}},
      .options = {config_option(),
                  {.names = "--host", .value = "URL", .help = "the riverbox host, such as http://node0:8000"},
                  detach_keys_option()},
  };
  return command;
}

int run_docker_shell(const Invocation& invocation) {
  const Arguments arguments = parse(docker_shell_command(), invocation);
  const std::string name = arguments.value("NAME");
  return run_terminal(arguments, "/docker/host/containers/" + path_segment(name) + "/terminal", {.url = {}, .token = {}, .name = name});
}

}  // namespace riverbox::applets
