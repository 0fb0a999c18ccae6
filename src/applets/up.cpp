// riverbox up: host and runner in one process on this machine, without configuration.
#include <filesystem>
#include <optional>

#include "api/host_server.hpp"
#include "applets/commands.hpp"
#include "applets/output.hpp"
#include "applets/serve.hpp"
#include "runner/runner.hpp"

namespace riverbox::applets {

namespace {

bool is_default(const Config& config, const std::string& key) { return config.origin_of(key) == "default"; }

Config own_config(const Arguments& arguments) {
  Config config = configured(arguments);
  if (is_default(config, "network.host_bind_ip")) config.network.host_bind_ip = "127.0.0.1";
  refuse_open_doors(config, arguments);
  return config;
}

// Where the runner of this process, and this user's commands, reach the server.
std::string local_address(const Config& config) {
  const std::string& bind = config.network.host_bind_ip;
  const bool any = bind.empty() || bind == "0.0.0.0" || bind == "::";
  return any ? "127.0.0.1" : bind.find(':') == std::string::npos ? bind : "[" + bind + "]";
}

void greet(const Invocation& invocation, const Config& config, const std::string& url_of_clients) {
  std::string text = "riverbox is up at " + config.host_url + "\n";
  text += "  share  " + config.container_dir().string() + "\n";
  if (config.security.auth != "none") text += "  token  " + config.security.token_file.string() + "  (found by itself on this machine)\n";
  text += "\nTry next, in another terminal:\n";
  if (url_of_clients != config.host_url && !std::filesystem::exists(config.unix_socket())) text += "  export RIVERBOX_HOST=" + config.host_url + "\n";
  text += "  " + invocation.typed("docker") + " create-container python:3.11-slim my-env   # change it with: " +
          invocation.typed("docker-shell") + " my-env\n";
  text += "  " + invocation.typed("docker") + " create-tar my-env\n";
  text += "  " + invocation.typed("client") + " --container my-env --wait -- python -c 'print(6 * 7)'\n";
  text += "\nCtrl-C stops it; tasks and environments stay.\n";
  write_err(text);
}

}  // namespace

const Command& up_command() {
  static const Command command{
      .name = "up",
      .examples = "{up}\n{up} --port 8123",
      .details = "Needs a Docker Engine and no configuration. What it keeps lies in one folder of yours (RIVERBOX_PATHS_STATE_DIR\n"
                 "names another). Listens on 127.0.0.1 only, unless --bind says otherwise.",
      .options = {config_option(),
                  {.names = "--bind", .value = "ADDRESS", .help = "listen on this address (127.0.0.1)"},
                  {.names = "--port", .value = "PORT", .help = "listen on this port (8000)"},
                  i_know_option()},
  };
  return command;
}

int run_up(const Invocation& invocation) {
  const Arguments arguments = parse(up_command(), invocation);
  Config config = begin_with(own_config(arguments));
  const std::string url_of_clients = Config::load(config.file.empty() ? std::nullopt : std::optional(config.file)).url();

  boost::asio::io_context loop(1);
  std::optional<api::HostServer> server;
  naming_the_port_flag(arguments, [&] { server.emplace(loop, api::HostServerOptions{.config = config, .shares_daemon_with_runner = true}); });
  config.host_url = server->url(local_address(config));
  runner::Runner runner(loop, {.config = config, .token = server->token()});
  server->start();
  runner.start();
  greet(invocation, config, url_of_clients);
  const auto stop = [&] {
    runner.stop();
    server->stop();
  };
  const auto read = [&arguments, url = config.host_url] {
    Config next = own_config(arguments);
    next.host_url = url;
    return next;
  };
  return serve(loop, "up", stop, {.running = config, .read = read, .apply = [&server](const Config& next) { server->reload(next); }});
}

}  // namespace riverbox::applets
