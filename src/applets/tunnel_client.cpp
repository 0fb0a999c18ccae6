// riverbox tunnel-client: the end of a tunnel inside a container, where this executable is mounted under that name. Its options are the reference's.
#include "tunnel/client.hpp"

#include <csignal>
#include <cstdlib>

#include <boost/asio/signal_set.hpp>

#include "applets/commands.hpp"
#include "applets/output.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "os/process.hpp"

namespace riverbox::applets {

namespace {

constexpr int kExitGivenUp = 69;  // as for any service that cannot be reached

// The option, or the variable that stands for it.
std::string given(const Arguments& arguments, const char* option, const char* variable, std::string fallback = {}) {
  if (const auto value = arguments.find(option)) return *value;
  const char* value = std::getenv(variable);
  return value && *value ? value : std::move(fallback);
}

std::uint64_t number(const Arguments& arguments, const char* option, const char* variable, std::uint64_t fallback) {
  constexpr std::uint64_t kMost = 1000000;
  const std::string text = given(arguments, option, variable, std::to_string(fallback));
  const auto value = parse_u64(text);
  if (!value || *value > kMost) throw UsageError(std::string(option) + ": '" + printable(text) + "' is no number from 0 to 1000000.");
  return *value;
}

log::Level level_of(const std::string& name) {
  if (name == "trace" || name == "debug") return log::Level::debug;
  if (name == "info") return log::Level::info;
  if (name == "warn" || name == "warning") return log::Level::warning;
  if (name == "error" || name == "off") return log::Level::error;
  throw UsageError("--log-level: there is no '" + printable(name) + "'.", "It is one of debug, info, warning, error.");
}

tunnel::ClientOptions options_of(const Arguments& arguments) {
  tunnel::ClientOptions options;
  options.runner_url = given(arguments, "--runner-url", "RUNNER_URL");
  options.container_id = given(arguments, "--container-id", "CONTAINER_ID");
  options.reconnect_delay = std::chrono::seconds(std::max<std::uint64_t>(number(arguments, "--reconnect-delay", "RECONNECT_DELAY", 5), 1));
  options.max_reconnect = number(arguments, "--max-reconnect", "MAX_RECONNECT", 0);
  // A socket says by itself which container this is; an address is what is left without one.
  std::error_code ignored;
  const bool is_there = std::filesystem::exists(tunnel::kClientSocket, ignored);
  if (const auto socket = arguments.find("--socket")) options.socket = *socket;
  else if (is_there || options.runner_url.empty()) options.socket = tunnel::kClientSocket;
  while (options.runner_url.ends_with('/')) options.runner_url.pop_back();
  if (options.socket.empty() && options.container_id.empty()) throw UsageError("--runner-url needs --container-id as well.", "Both can be given as $RUNNER_URL and $CONTAINER_ID.");
  return options;
}

}  // namespace

const Command& tunnel_client_command() {
  static const Command command{
      .name = "tunnel-client",
      .examples = "{tunnel-client}\n"
                  "{tunnel-client} --runner-url ws://172.17.0.1:8001 --container-id my-vps",
      .details = "Runs in a container and connects ports of it with the runner of its node, until SIGTERM. The runner starts it\n"
                 "by itself; nobody needs to.",
      .options = {{.names = "--socket", .value = "PATH", .help = "the runner's socket (/run/riverbox/tunnel.sock where it is mounted)", .complete = "files"},
                  {.names = "-r,--runner-url", .value = "URL", .help = "the runner, where there is no socket ($RUNNER_URL)"},
                  {.names = "-c,--container-id", .value = "NAME", .help = "which container this is, for --runner-url ($CONTAINER_ID)"},
                  {.names = "--reconnect-delay", .value = "SECONDS", .help = "the longest wait between two tries (5; $RECONNECT_DELAY)"},
                  {.names = "--max-reconnect", .value = "N", .help = "give up after so many tries in a row; 0: never (0; $MAX_RECONNECT)"},
                  {.names = "--log-level", .value = "LEVEL", .help = "debug, info, warning or error (info; $LOG_LEVEL)", .complete = "debug|info|warning|error"}},
  };
  return command;
}

int run_tunnel_client(const Invocation& invocation) {
  const Arguments arguments = parse(tunnel_client_command(), invocation);
  log::set_level(level_of(to_lower(given(arguments, "--log-level", "LOG_LEVEL", "info"))));
  os::raise_file_limit();
  boost::asio::io_context loop(1);
  tunnel::Client client(loop, options_of(arguments));
  boost::asio::signal_set signals(loop, SIGTERM, SIGINT);
  signals.async_wait([&](const boost::system::error_code& error, int) {
    if (error) return;
    client.stop();
    loop.stop();  // a socket that is not emptied yet is nobody's any more
  });
  int status = 0;
  client.start([&] {
    status = kExitGivenUp;
    loop.stop();
  });
  loop.run();
  return status;
}

}  // namespace riverbox::applets
