// riverbox runner: the agent of a compute node.
#include "runner/runner.hpp"

#include "applets/commands.hpp"
#include "applets/output.hpp"
#include "applets/serve.hpp"
#include "base/error.hpp"
#include "net/security.hpp"
#include "net/url.hpp"
#include "runner/inventory.hpp"
#include "runner/joining.hpp"

namespace riverbox::applets {

namespace {

// One that was given comes first, then the runner's own, then the one that lies where the host's does.
std::string token_of(const Config& config) {
  if (!config.security.token.empty()) return config.security.token;
  const auto own = runner::own_token(config);
  return own ? *own : net::client_token(config);
}

int join_host(const Arguments& arguments) {
  const Config config = begin_with(configured(arguments));
  try {
    runner::join(config, arguments.value("TOKEN"));
  } catch (const Conflict&) {
    if (!runner::own_token(config)) throw;
    write_err("This node has joined already, its identity is in " + runner::own_token_file(config).string() + "; nothing was changed.\n");
    return 0;
  }
  write_err("Joined " + net::shown_host(config.url()) + " as " + runner::node_name(config) + ". Start it, or start it again: systemctl restart riverbox-runner, or riverbox runner\n");
  return 0;
}

}  // namespace

const Command& runner_command() {
  static const Command command{
      .name = "runner",
      .examples = "# once; on the host, `riverbox node join-command` prints it with the token\n"
                  "{runner} join --host http://node0:8000 rb_1f3a5c7e_...\n"
                  "{runner} --host http://node0:8000\n"
                  "{runner} --config /etc/riverbox/config.toml",
      .details = "Dials the host, brings environments up to date and runs tasks, until SIGTERM or Ctrl-C. Tasks live on when\n"
                 "the runner is restarted.",
      .options = {config_option(),
                  {.names = "--host", .value = "URL", .help = "the riverbox host, such as http://node0:8000"},
                  {.names = "--token", .value = "TOKEN", .help = "a token for all starts, instead of joining; better in $RIVERBOX_TOKEN, where 'ps' does not show it"},
                  {.names = "--name", .value = "NAME", .help = "the name of this node (its host name)"}},
      .subcommands = {{.name = "join",
                       .summary = "Get an identity of its own from the host, once",
                       .examples = "{runner} join --host http://node0:8000 rb_1f3a5c7e_...",
                       .details = "The token is an invitation and worth nothing else. The identity is kept where only this user can read it\n"
                                  "(state_dir); the starts after it find it by themselves.",
                       .arguments = {{.name = "TOKEN", .help = "what `riverbox node join-command` has printed on the host"}}}},
      .alone = true,
  };
  return command;
}

int run_runner(const Invocation& invocation) {
  const Arguments arguments = parse(runner_command(), invocation);
  if (arguments.command->name == "join") return join_host(arguments);
  const auto read = [&arguments] {
    Config config = configured(arguments);
    if (config.host_url.empty() && config.origin_of("network.host_reachable_address") == "default") config.host_url = runner::joined_host(config).value_or("");
    return config;
  };
  const Config config = begin_with(read());
  boost::asio::io_context loop(1);
  runner::Runner runner(loop, {.config = config, .token = token_of(config)});
  runner.start();
  return serve(loop, "runner", [&runner] { runner.stop(); }, {.running = config, .read = read});
}

}  // namespace riverbox::applets
