// riverbox host: the control plane.
#include <optional>

#include "api/host_server.hpp"
#include "applets/api_client.hpp"
#include "applets/commands.hpp"
#include "applets/output.hpp"
#include "applets/serve.hpp"
#include "store/database.hpp"

namespace riverbox::applets {

const Command& host_command() {
  static const Command command{
      .name = "host",
      .examples = "{host}\n"
                  "{host} --config /etc/riverbox/config.toml\n"
                  "{host} --bind 127.0.0.1 --port 8123",
      .details = "Runs in the foreground until SIGTERM or Ctrl-C. The first start makes the token that clients and runners\n"
                 "need, in a file only its owner can read (~/.riverbox/token).",
      .options = {config_option(),
                  {.names = "--bind", .value = "ADDRESS", .help = "listen on this address (0.0.0.0)"},
                  {.names = "--port", .value = "PORT", .help = "listen on this port (8000)"}},
      .subcommands = {{.name = "backup",
                       .summary = "Copy the database, also while the host runs",
                       .examples = "{host} backup /backup/riverbox-$(date +%F).db",
                       .details = "To go back to it: stop the host, put the file in the place of `database.db_file` and remove that one's -wal and -shm, start it again.",
                       .arguments = {{.name = "FILE", .help = "the copy; nothing is overwritten", .complete = "files"}}}},
      .alone = true,
  };
  return command;
}

int run_host(const Invocation& invocation) {
  const Arguments arguments = parse(host_command(), invocation);
  if (arguments.command->name == "backup") {
    store::back_up(client_config(arguments).database.db_file, arguments.value("FILE"));
    write_out("Copied to " + arguments.value("FILE") + ".\n");
    return 0;
  }
  boost::asio::io_context loop(1);
  std::optional<api::HostServer> server;
  naming_the_port_flag(arguments, [&] { server.emplace(loop, api::HostServerOptions{.config = daemon_config(arguments)}); });
  server->start();
  return serve(loop, "host", [&server] { server->stop(); });
}

}  // namespace riverbox::applets
