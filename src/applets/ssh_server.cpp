// riverbox ssh-server: started inside a user's container, so that ssh, scp, sftp, rsync and editors reach it.
#include "ssh/legacy_scp.hpp"
#include "ssh/server.hpp"

#include <cstdlib>

#include "applets/commands.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"

extern char** environ;

namespace riverbox::applets {

namespace {

constexpr const char* kListen = "127.0.0.1:22";
constexpr unsigned kMaxConnections = 64;

unsigned number_of(const Arguments& arguments, const char* option, unsigned fallback) {
  const auto given = arguments.find(option);
  if (!given) return fallback;
  const auto number = parse_u64(*given);
  if (!number || *number == 0 || *number > 10'000) throw UsageError(std::string(option) + ": '" + printable(*given) + "' is no number from 1 to 10000.");
  return static_cast<unsigned>(*number);
}

ssh::Settings settings_of(const Arguments& arguments) {
  ssh::Settings settings;
  settings.rules.key_files = arguments.all("--authorized-keys");
  if (settings.rules.key_files.empty()) settings.rules.key_files = {"~/.ssh/authorized_keys", "/etc/riverbox/authorized_keys"};
  for (const std::string& file : settings.rules.key_files)
    if (!file.starts_with('/') && !file.starts_with("~/")) throw UsageError("--authorized-keys: '" + printable(file) + "' is neither absolute nor begins with ~/.");
  settings.rules.no_auth = arguments.has("--no-auth");
  settings.forward_anywhere = arguments.has("--forward-anywhere");
  settings.login_grace = std::chrono::seconds(number_of(arguments, "--login-grace", 60));
  settings.keep_alive = std::chrono::seconds(number_of(arguments, "--keep-alive", 30));
  for (char** variable = environ; *variable; ++variable) settings.own_environment.emplace_back(*variable);
  return settings;
}

}  // namespace

const Command& ssh_server_command() {
  static const Command command{
      .name = "ssh-server",
      .summary = "Serve SSH inside a container",
      .examples = "riverbox ssh-server --listen 0.0.0.0:2222\nriverbox ssh-server --stdio",
      .details = "Lets users of this container in by their public keys: shells, commands, sftp, forwardings. See docs/ssh-server.md.",
      .options = {
          {.names = "--listen", .value = "ADDRESS:PORT", .help = std::string("where to wait for connections (default: ") + kListen + ")"},
          {.names = "--stdio", .help = "serve one connection on stdin and stdout"},
          {.names = "--host-keys", .value = "DIR", .help = std::string("where the key of this server is kept (default: ") + ssh::kHostKeys + ")", .complete = "files"},
          {.names = "--authorized-keys", .value = "FILE", .help = "keys that may log in; may be given again (default: ~/.ssh/authorized_keys and /etc/riverbox/authorized_keys)", .complete = "files"},
          {.names = "--no-auth", .help = "let everybody in who can connect"},
          {.names = "--forward-anywhere", .help = "let ssh -R listen on other addresses than the loopback"},
          {.names = "--max-connections", .value = "N", .help = "so many at a time (default: 64)"},
          {.names = "--login-grace", .value = "SECONDS", .help = "so long a login may take", .hidden = true},
          {.names = "--keep-alive", .value = "SECONDS", .help = "after so long a silent client is asked whether it is there", .hidden = true},
      }};
  return command;
}

int run_ssh_server(const Invocation& invocation) {
  const Arguments arguments = parse(ssh_server_command(), invocation);
  if (arguments.has("--stdio") && arguments.has("--listen")) throw UsageError("--stdio and --listen exclude each other.");
  const ssh::Settings settings = settings_of(arguments);
  const size_t limit = number_of(arguments, "--max-connections", kMaxConnections);
  const ssh::Endpoint where = option_value("--listen", [&] { return ssh::parse_endpoint(arguments.value("--listen", kListen)); });
  const ssh::HostKey key = ssh::load_host_key(arguments.value("--host-keys", ssh::kHostKeys), arguments.has("--host-keys") ? "" : ssh::kOpenSshHostKey);
  const char* path = std::getenv("PATH");
  ssh::provide_legacy_scp(path ? path : "/usr/bin:/bin");
  // What is written on stderr then, the user of a ProxyCommand sees.
  if (arguments.has("--stdio") && !std::getenv("RIVERBOX_LOG")) log::set_level(log::Level::warning);
  if (arguments.has("--stdio")) ssh::serve_stdio(settings, key);
  else ssh::listen_and_serve(where, limit, settings, key);
  return 0;
}

}  // namespace riverbox::applets
