// The terminal without Docker: a host whose only "container" is this machine, and the client. tests/terminal/test_terminal.py runs
// with it where there is no Engine, and it shows in a second what a change to src/terminal does.
//   terminal_lab host --config FILE          serves the container "lab" on loopback and writes its address to FILE
//   terminal_lab docker-shell --config FILE NAME
#include <fcntl.h>
#include <fmt/format.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "net/server.hpp"
#include "os/fd.hpp"
#include "terminal/client.hpp"
#include "terminal/protocol.hpp"
#include "terminal/relay.hpp"

using namespace riverbox;
using namespace riverbox::terminal;

namespace {

// bash on a pseudo-terminal, or on a socket where there shall be none.
class LocalShell : public Shell {
public:
  explicit LocalShell(const OpenRequest& request) : tty_(request.tty) {
    winsize size{.ws_row = request.rows, .ws_col = request.columns};
    int pair[2] = {-1, -1};
    if (!tty_ && ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) throw IoError("make a socket pair", errno);
    int master = pair[0];
    pid_ = tty_ ? ::forkpty(&master, nullptr, nullptr, &size) : ::fork();
    if (pid_ < 0) throw IoError("start a shell", errno);
    if (pid_ == 0) {
      sigset_t none;
      ::sigemptyset(&none);
      ::sigprocmask(SIG_SETMASK, &none, nullptr);  // workers block all signals
      if (!tty_) {
        ::setsid();
        for (int fd : {0, 1, 2}) ::dup2(pair[1], fd);
      }
      for (const auto& [name, value] : request.env) ::setenv(name.c_str(), value.c_str(), 1);
      ::execlp("bash", "bash", "--norc", "--noprofile", static_cast<char*>(nullptr));  // not what the tester keeps in ~/.bashrc
      ::_exit(127);
    }
    if (pair[1] >= 0) ::close(pair[1]);
    fd_.reset(master);
    ::fcntl(master, F_SETFD, FD_CLOEXEC);
    ::fcntl(master, F_SETFL, O_NONBLOCK);
  }
  ~LocalShell() override { fd_.reset(); reap(); }
  int wait_fd() const override { return fd_.get(); }
  std::optional<size_t> read_some(char* buffer, size_t size, bool& is_stderr) override {
    is_stderr = false;
    auto n = ::read(fd_.get(), buffer, size);
    if (n < 0 && errno == EAGAIN) return std::nullopt;
    return n < 0 ? 0 : static_cast<size_t>(n);  // EIO: the terminal's other side is closed
  }
  std::optional<size_t> write_some(const char* bytes, size_t size) override {
    auto n = ::write(fd_.get(), bytes, size);
    if (n < 0 && errno == EAGAIN) return std::nullopt;
    if (n < 0) throw IoError("write to the shell", errno);
    return static_cast<size_t>(n);
  }
  void shutdown_write() override { ::shutdown(fd_.get(), SHUT_WR); }
  void resize(std::uint16_t rows, std::uint16_t columns) override {
    winsize size{.ws_row = rows, .ws_col = columns};
    if (tty_) ::ioctl(fd_.get(), TIOCSWINSZ, &size);
  }
  int exit_status() override {
    int status = reap();
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }
  void hang_up() override {
    // Everything on the terminal, as when a modem hangs up; what holds out is killed.
    pid_t session = tty_ ? ::tcgetpgrp(fd_.get()) : pid_;
    for (int signal : {SIGHUP, SIGKILL}) {
      if (session > 0) ::kill(-session, signal);
      ::kill(-pid_, signal);
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }

private:
  int reap() {
    if (pid_ > 0) ::waitpid(std::exchange(pid_, -1), &status_, 0);
    return status_;
  }
  bool tty_;
  pid_t pid_ = -1;
  int status_ = 0;
  os::UniqueFd fd_;
};

OpenRequest open_request(const net::Request& request) {
  auto value = [&](const std::string& key) { auto it = request.query.find(key); return it == request.query.end() ? std::string() : it->second; };
  OpenRequest open;
  open.tty = value("tty") != "0";
  open.rows = static_cast<std::uint16_t>(parse_u64(value("rows")).value_or(24));
  open.columns = static_cast<std::uint16_t>(parse_u64(value("cols")).value_or(80));
  for (const auto& [key, text] : request.query)
    if (key.starts_with("env.")) open.env[key.substr(4)] = text;
  return open;
}

int run_host(const std::string& config) {
  boost::asio::io_context loop;
  os::WorkerPool workers("shells", 8);
  net::ServerOptions options;
  options.bind_address = "127.0.0.1";
  options.port = 0;
  auto http = [](net::Request, std::shared_ptr<net::Responder> responder) { responder->send({.status = 404, .body = "{}"}); };
  auto upgrade = [&](const net::Request& request) -> std::variant<net::Response, net::Accept> {
    RelayOptions relay;
    relay.open = open_request(request);
    const std::string* offered = request.header("sec-websocket-protocol");
    bool ours = offered && offered->find(kSubprotocol) != std::string::npos && !std::getenv("TERMINAL_LAB_CLASSIC");
    relay.dialect = ours ? Dialect::riverbox : Dialect::classic;
    Opener opener = [path = request.path](const OpenRequest& open) -> std::unique_ptr<Shell> {
      if (path.find("/containers/lab/") == std::string::npos)
        throw NotFound("there is no such environment here", "`hakuriver.docker list-containers` shows what there is.");
      return std::make_unique<LocalShell>(open);
    };
    net::Accept accept;
    if (ours) accept.subprotocol = kSubprotocol;
    accept.opened = [&loop, &workers, relay, opener](auto socket) { start_relay(loop, workers, std::move(socket), opener, relay); };
    return accept;
  };
  net::Server server(loop, options, {http, upgrade});
  os::UniqueFd file = os::open_at(config, O_WRONLY | O_CREAT | O_TRUNC);
  os::write_all(file.get(), fmt::format("http://127.0.0.1:{}", server.port()), config);
  boost::asio::signal_set stop(loop, SIGTERM, SIGINT);
  stop.async_wait([&](auto, int) { loop.stop(); });
  loop.run();
  return 0;
}

int run_shell(const std::string& config, const std::string& name) {
  ClientOptions options;
  options.url = os::read_file(config) + "/docker/host/containers/" + percent_encoded(name) + "/terminal";
  options.name = name;
  return run_client(options);
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  try {
    if (words.size() == 3 && words[0] == "host" && words[1] == "--config") return run_host(words[2]);
    if (words.size() == 4 && words[0] == "docker-shell" && words[1] == "--config") return run_shell(words[2], words[3]);
    std::fputs("usage: terminal_lab host --config FILE | docker-shell --config FILE NAME\n", stderr);
    return 64;
  } catch (const Error& error) {
    fmt::print(stderr, "terminal_lab: {}\n", error.what());
    return error.kind() == ErrorKind::unavailable ? 69 : 1;
  }
}
