// riverbox runner: the agent of a compute node.
#include "runner/runner.hpp"

#include "applets/commands.hpp"
#include "applets/serve.hpp"
#include "net/security.hpp"

namespace riverbox::applets {

const Command& runner_command() {
  static const Command command{
      .name = "runner",
      .examples = "{runner} --host http://node0:8000 --token \"$(ssh node0 cat .riverbox/token)\"\n"
                  "{runner} --config /etc/riverbox/config.toml",
      .details = "Dials the host, brings environments up to date and runs tasks, until SIGTERM or Ctrl-C. Tasks live on when\n"
                 "the runner is restarted.",
      .options = {config_option(),
                  {.names = "--host", .value = "URL", .help = "the riverbox host, such as http://node0:8000"},
                  {.names = "--token", .value = "TOKEN", .help = "the host's token; better in $RIVERBOX_TOKEN, where 'ps' does not show it"},
                  {.names = "--name", .value = "NAME", .help = "the name of this node (its host name)"}},
  };
  return command;
}

int run_runner(const Invocation& invocation) {
  const Arguments arguments = parse(runner_command(), invocation);
  Config config = daemon_config(arguments);
  std::string token = net::client_token(config);
  boost::asio::io_context loop(1);
  runner::Runner runner(loop, {.config = std::move(config), .token = std::move(token)});
  runner.start();
  return serve(loop, "runner", [&runner] { runner.stop(); });
}

}  // namespace riverbox::applets
