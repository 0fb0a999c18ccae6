// riverbox host: the control plane.
#include <filesystem>
#include <optional>
#include <system_error>

#include "api/host_server.hpp"
#include "applets/api_client.hpp"
#include "applets/commands.hpp"
#include "applets/exit_codes.hpp"
#include "applets/output.hpp"
#include "applets/serve.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"
#include "net/certificate.hpp"
#include "os/folders.hpp"
#include "os/inherited_socket.hpp"
#include "store/classic_import.hpp"
#include "store/database.hpp"

namespace riverbox::applets {

namespace {

std::string counted(size_t number, const std::string& what) { return std::to_string(number) + " " + what + (number == 1 ? "" : "s"); }

int print_address(const Config& config) {
  if (config.security.tls == "off") throw ConfigError("this host has no certificate ([security] tls is \"off\")", "Set tls = \"auto\" below [security] in its configuration, and restart it.");
  const auto pin = net::pin_of(config);
  write_out("https://" + authority_of(config.network.host_reachable_address, config.network.host_port) + (pin ? "#" + pin->str() : "") + "\n");
  if (!pin) write_err("The certificate of this host is signed by others: machines that are to talk to it have to trust them (SSL_CERT_FILE, or the authorities of the machine).\n");
  if (config.network.host_reachable_address.starts_with("127.")) write_err("Other machines do not reach this address: set [network] host_reachable_address, or put the host's name into it.\n");
  return 0;
}

int import_classic(const Arguments& arguments) {
  const Config config = client_config(arguments);
  const auto& ours = config.database.db_file;
  os::make_private_folders(ours.parent_path());  // Database says what is wrong with it
  store::Database database(ours, store::kHostMigrations);
  store::TaskRepository tasks(database);
  const auto days = config.retention.tasks_days;
  const auto result = store::import_classic(arguments.value("FILE"), tasks, days == 0 ? "" : to_rfc3339(wall_now() - std::chrono::hours(24) * days));
  for (const std::string& problem : result.problems) write_err(arguments.full_name + ": left out: " + printable(problem, 1000) + "\n");
  std::string text = "Imported " + counted(result.added, "task") + ".";
  if (result.lost > 0) text += " Of them unfinished, and lost now: " + std::to_string(result.lost) + ".";
  if (result.known > 0) text += " There already: " + std::to_string(result.known) + ".";
  if (result.old > 0) text += " Older than [retention] tasks_days keeps them: " + std::to_string(result.old) + ".";
  if (result.vps > 0) text += " Left out: " + std::to_string(result.vps) + " VPS.";
  if (!result.problems.empty()) text += " Could not be read: " + std::to_string(result.problems.size()) + ".";
  write_out(text + "\n");
  return result.problems.empty() ? 0 : exit_code_of(ErrorKind::bad_data);
}

// Where it listens is the other one's to say then.
void listen_on(Config& config, const os::InheritedSocket& socket) {
  config.network.host_bind_ip = socket.address;
  config.network.host_port = socket.port;
  for (const char* key : {"network.host_bind_ip", "network.host_port"}) config.origin[key] = "$LISTEN_FDS";
}

}  // namespace

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
                  {.names = "--port", .value = "PORT", .help = "listen on this port (8000)"},
                  i_know_option()},
      .subcommands = {{.name = "backup",
                       .summary = "Copy the database, also while the host runs",
                       .examples = "{host} backup /backup/riverbox-$(date +%F).db",
                       .details = "To go back to it: stop the host, put the file in the place of `database.db_file` and remove that one's -wal and -shm, start it again.",
                       .arguments = {{.name = "FILE", .help = "the copy; nothing is overwritten", .complete = "files"}}},
                      {.name = "fingerprint",
                       .summary = "Print the address of this host with the fingerprint of its certificate",
                       .examples = "export RIVERBOX_HOST=$(ssh node0 {host} fingerprint)",
                       .details = "With [security] tls = \"auto\" or \"files\". A client or runner that is given this address talks to this host and to nobody else."},
                      {.name = "import-classic",
                       .summary = "Take over the tasks of a HakuRiver host, also while this one runs",
                       .examples = "{host} import-classic ~/hakuriver/cluster_management.db",
                       .details = "Reads HakuRiver's database and changes nothing in it. What was unfinished there is lost. Again: only what is new.",
                       .arguments = {{.name = "FILE", .help = "its database", .complete = "files"}}}},
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
  if (arguments.command->name == "import-classic") return import_classic(arguments);
  if (arguments.command->name == "fingerprint") return print_address(client_config(arguments));
  auto inherited = os::inherited_socket();
  const auto read = [&arguments, &inherited] {
    Config config = configured(arguments);
    if (inherited) listen_on(config, *inherited);
    refuse_open_doors(config, arguments);
    return config;
  };
  const Config config = begin_with(read());
  boost::asio::io_context loop(1);
  std::optional<api::HostServer> server;
  naming_the_port_flag(arguments, [&] {
    server.emplace(loop, api::HostServerOptions{.config = config, .inherited_socket = inherited ? inherited->fd.release() : -1});
  });
  server->start();
  return serve(loop, "host", [&server] { server->stop(); }, {.running = config, .read = read, .apply = [&server](const Config& next) { server->reload(next); }});
}

}  // namespace riverbox::applets
