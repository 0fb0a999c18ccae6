// hakuriver.ssh: ssh into a VPS by a port of this machine, as HakuRiver's command does it.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "applets/api_client.hpp"
#include "applets/commands.hpp"
#include "applets/output.hpp"
#include "applets/way.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "net/listener.hpp"
#include "os/child.hpp"
#include "tunnel/acceptor.hpp"

namespace riverbox::applets {

namespace {

// Each connection is served by a process of its own, on its socket.
void serve(os::UniqueFd connection, const std::vector<std::string>& argv) {
  os::start_process(
      [&](os::UniqueFd socket) -> int {
        ::fcntl(socket.get(), F_SETFL, ::fcntl(socket.get(), F_GETFL) & ~O_NONBLOCK);
        if (::dup2(socket.get(), STDIN_FILENO) < 0 || ::dup2(socket.get(), STDOUT_FILENO) < 0) return 1;
        os::become_program("/proc/self/exe", argv);
      },
      std::move(connection));
}

std::vector<std::string> stdio_command(const Arguments& arguments, const Config& config) {
  std::vector<std::string> argv{"riverbox", "ssh", "--stdio"};
  if (const auto file = arguments.find("--config")) argv.insert(argv.end(), {"--config", *file});
  const auto address = arguments.find("--host"), port = arguments.find("--proxy-port");
  if (address || port)
    argv.insert(argv.end(), {"--proxy", authority_of(address.value_or(config.network.host_reachable_address), port ? port_of(*port, "--proxy-port") : config.network.host_ssh_proxy_port)});
  argv.push_back(arguments.value("TASK_ID"));
  return argv;
}

const Command& classic_ssh_command() {
  static const Command command{
      .name = "hakuriver.ssh",
      .examples = "hakuriver.ssh 7199539478398935041\n"
                  "hakuriver.ssh --local-port 2222 my-box",
      .details = "Listens on a port of this machine that leads to the SSH server of the VPS, and runs ssh with it. `riverbox ssh` does\n"
                 "without the port.",
      .arguments = {{.name = "TASK_ID", .help = "the id of the VPS, or its name", .complete = "vps"}},
      .options = {config_option(),
                  {.names = "--host", .value = "ADDRESS", .help = "where the SSH proxy is (the host of the configuration)"},
                  {.names = "--proxy-port", .value = "PORT", .help = "its port (network.host_ssh_proxy_port)"},
                  {.names = "--local-port", .value = "PORT", .help = "the port of this machine; 0: any that is free (0)"},
                  {.names = "--user", .value = "USER", .help = "who to be in the VPS (root)"}},
  };
  return command;
}

}  // namespace

int run_classic_ssh(const Invocation& invocation) {
  const Arguments arguments = parse(classic_ssh_command(), invocation);
  const std::string user = arguments.value("--user", "root");
  if (user.empty() || user.front() == '-') throw UsageError("--user: '" + printable(user, 60) + "' is no name of a user.");
  const auto argv = stdio_command(arguments, client_config(arguments));
  boost::asio::io_context loop(1);
  net::Listener listener = net::open_listener(loop, "127.0.0.1", port_of(arguments.value("--local-port", "0"), "--local-port", true));
  const std::string port = std::to_string(net::port_of(listener));
  listener.native_non_blocking(true);
  const tunnel::Acceptor acceptor(loop, os::UniqueFd(listener.release()), [&argv](os::UniqueFd connection) { serve(std::move(connection), argv); });
  write_out("    ssh " + user + "@127.0.0.1 -p " + port + "\nConnecting using: ssh " + user + "@127.0.0.1 -p " + port + "\n");
  boost::asio::signal_set ends(loop, SIGCHLD);
  const pid_t ssh = os::start_program({"ssh", user + "@127.0.0.1", "-p", port});
  int status = 0;
  std::function<void()> wait = [&] {
    ends.async_wait([&](const boost::system::error_code& error, int) {
      bool over = false;
      int ended = 0;
      for (pid_t pid; (pid = ::waitpid(-1, &ended, WNOHANG)) > 0;)
        if (pid == ssh) over = true, status = ended;
      if (error || over) loop.stop();
      else wait();
    });
  };
  wait();
  loop.run();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127) throw Unavailable("cannot run ssh", "Install OpenSSH's client; on Debian: apt install openssh-client.");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace riverbox::applets
