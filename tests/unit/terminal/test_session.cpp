// Client, network, relay and shell together: a real server on loopback, a shell that the test plays.
#include <doctest/doctest.h>

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include <functional>
#include <future>
#include <mutex>

#include "fakes.hpp"
#include "net/server.hpp"
#include "os/fd.hpp"
#include "terminal/client.hpp"
#include "terminal/protocol.hpp"
#include "terminal/relay.hpp"

using namespace riverbox;
using namespace riverbox::terminal;
using namespace std::chrono_literals;
using os::UniqueFd;

namespace {

bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds patience = 20s) {
  for (auto deadline = std::chrono::steady_clock::now() + patience; !condition(); std::this_thread::sleep_for(2ms))
    if (std::chrono::steady_clock::now() > deadline) return false;
  return true;
}

// A host with one container; `play` is what happens in its shell, given the far end of the stream.
class Host {
public:
  enum class Kind { riverbox, classic, refusing };
  Host(Kind kind, std::function<void(int peer)> play) : kind_(kind), play_(std::move(play)) {
    net::ServerOptions options;
    options.bind_address = "127.0.0.1";
    options.port = 0;
    server_.emplace(loop_, options, net::Handlers{[](net::Request, std::shared_ptr<net::Responder>) {}, [this](const net::Request& r) { return upgrade(r); }});
    port_ = server_->port();
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~Host() {
    vanish();
    eventually([&] { return shell.alive == 0; });
    boost::asio::post(loop_, [this] { work_.reset(); });
    eventually([&] { return loop_.stopped(); });  // by itself: every connection has ended
    loop_.stop();
    thread_.join();
    if (player_.joinable()) player_.join();
  }
  void vanish() { boost::asio::post(loop_, [this] { server_->stop(); }); }

  ClientOptions client(int input, int output, int error = 2) {
    ClientOptions options;
    options.url = "http://127.0.0.1:" + std::to_string(port_) + "/docker/host/containers/box/terminal";
    options.token = "secret";
    options.name = "box";
    options.input = input;
    options.output = output;
    options.error = error;
    return options;
  }

  fakes::ShellState shell;
  std::string asked_for(const std::string& key) {
    const std::lock_guard lock(mutex_);
    return query_[key];
  }
  std::optional<Conflict> refusal;

private:
  std::variant<net::Response, net::Accept> upgrade(const net::Request& request) {
    {
      const std::lock_guard lock(mutex_);
      query_ = request.query;
    }
    if (kind_ == Kind::refusing) return net::Response{.status = 401, .body = R"({"detail":"Not authenticated"})"};
    CHECK(*request.header("authorization") == "Bearer secret");
    net::Accept accept;
    RelayOptions options;
    options.dialect = kind_ == Kind::riverbox ? Dialect::riverbox : Dialect::classic;
    if (kind_ == Kind::riverbox) {
      CHECK(*request.header("sec-websocket-protocol") == kSubprotocol);
      accept.subprotocol = kSubprotocol;
    }
    accept.opened = [this, options](std::shared_ptr<net::WebSocket> socket) {
      start_relay(loop_, workers_, std::move(socket), [this](const OpenRequest&) { return open(); }, options);
    };
    return accept;
  }
  std::unique_ptr<Shell> open() {
    if (refusal) throw *refusal;
    auto shell_ptr = std::make_unique<fakes::FakeShell>(shell);
    if (play_) player_ = std::thread([this, peer = shell.peer] { play_(peer); ::shutdown(peer, SHUT_RDWR); });
    return shell_ptr;
  }

  Kind kind_;
  std::mutex mutex_;
  std::map<std::string, std::string> query_;  // of the client, for the test's thread
  std::function<void(int)> play_;
  boost::asio::io_context loop_;
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work_{loop_.get_executor()};
  std::thread player_;
  os::WorkerPool workers_{"shells", 4};
  std::optional<net::Server> server_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

struct Pipe {
  UniqueFd read, write;
  Pipe() {
    int fds[2];
    REQUIRE(::pipe2(fds, O_CLOEXEC) == 0);
    read.reset(fds[0]);
    write.reset(fds[1]);
  }
};

std::string read_all(int fd) {
  std::string all, buffer(65536, '\0');
  for (ssize_t n; (n = ::read(fd, buffer.data(), buffer.size())) > 0;) all.append(buffer, 0, n);
  return all;
}

void write_whole(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    auto n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == ENOTSOCK) n = ::write(fd, bytes.data(), bytes.size());
    if (n <= 0) return;
    bytes.remove_prefix(n);
  }
}

UniqueFd file_with(std::string_view content) {
  UniqueFd file(::memfd_create("input", MFD_CLOEXEC));
  REQUIRE(::write(file.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size()));
  ::lseek(file.get(), 0, SEEK_SET);
  return file;
}

// Lines with characters of every length, so that a lost or split byte shows.
std::string big_text(size_t size) {
  std::string text;
  text.reserve(size + 64);
  for (size_t i = 0; text.size() < size; ++i) text += std::to_string(i) + " \xc3\xa9 \xe2\x82\xac \xf0\x9f\x9a\xa2 \"\\\t\x1b[0m\r\n";
  return text;
}

#if defined(__OPTIMIZE__)
constexpr size_t kBig = 50'000'000;
#else
constexpr size_t kBig = 5'000'000;  // sanitizers and -O0 take ten times as long
#endif

// A local terminal of which the test is the user.
struct Screen {
  UniqueFd master, slave;
  Screen(int rows, int columns) {
    int m, s;
    winsize size{.ws_row = static_cast<unsigned short>(rows), .ws_col = static_cast<unsigned short>(columns)};
    REQUIRE(::openpty(&m, &s, nullptr, nullptr, &size) == 0);
    master.reset(m);
    slave.reset(s);
  }
  bool raw() const {
    termios t{};
    ::tcgetattr(slave.get(), &t);
    return !(t.c_lflag & (ICANON | ECHO | ISIG));
  }
  void type(std::string_view keys) { REQUIRE(::write(master.get(), keys.data(), keys.size()) == static_cast<ssize_t>(keys.size())); }
  std::string seen;
  bool shows(std::string_view text) {
    return eventually([&] {
      pollfd p{.fd = master.get(), .events = POLLIN};
      char buffer[4096];
      if (::poll(&p, 1, 0) > 0)
        if (auto n = ::read(master.get(), buffer, sizeof buffer); n > 0) seen.append(buffer, n);
      return seen.find(text) != std::string::npos;
    });
  }
};

}  // namespace

TEST_CASE("session: commands from a pipe, output into a pipe, the exit status is ours") {
  for (auto kind : {Host::Kind::riverbox, Host::Kind::classic}) {
    Host host(kind, [](int peer) {
      std::string typed;
      char c;
      while (::recv(peer, &c, 1, 0) == 1 && c != '\x04') typed += c;
      write_whole(peer, "got:" + typed);
    });
    host.shell.status = 7;
    Pipe in, out;
    write_whole(in.write.get(), "echo ls\n");
    in.write.reset();
    int status = run_client(host.client(in.read.get(), out.write.get()));
    out.write.reset();
    CHECK(status == (kind == Host::Kind::riverbox ? 7 : 0));
    CHECK(read_all(out.read.get()) == (kind == Host::Kind::riverbox ? "got:echo ls\n" : "Terminal connected.\r\ngot:echo ls\n"));
    CHECK(host.asked_for("tty") == "0");
    CHECK(host.shell.hang_ups == 0);
  }
}

TEST_CASE("session: standard input may be a file or /dev/null") {
  Host host(Host::Kind::riverbox, [](int peer) { write_whole(peer, "<" + read_all(peer) + ">"); });
  auto file = file_with("from a file\n");
  Pipe out;
  CHECK(run_client(host.client(file.get(), out.write.get())) == 0);
  out.write.reset();
  CHECK(read_all(out.read.get()) == "<from a file\n>");

  Host second(Host::Kind::riverbox, [](int peer) { write_whole(peer, "<" + read_all(peer) + ">"); });
  auto null = os::open_read("/dev/null");
  auto result = file_with("");
  CHECK(run_client(second.client(null.get(), result.get())) == 0);
  ::lseek(result.get(), 0, SEEK_SET);
  CHECK(read_all(result.get()) == "<>");
}

// fault: reader-stops
TEST_CASE("session: much output (50 MB) arrives whole at a slow reader (F39, F41)") {
  const std::string text = big_text(kBig);
  for (auto kind : {Host::Kind::riverbox, Host::Kind::classic}) {
    Host host(kind, [&](int peer) { write_whole(peer, text); });
    Pipe out;
    auto null = os::open_read("/dev/null");
    auto reading = std::async(std::launch::async, [&] {
      std::this_thread::sleep_for(300ms);
      return read_all(out.read.get());
    });
    CHECK(run_client(host.client(null.get(), out.write.get())) == 0);
    out.write.reset();
    std::string got = reading.get();
    if (kind == Host::Kind::classic) got.erase(0, got.find('\n') + 1);
    CHECK(got.size() == text.size());
    CHECK((got == text));
  }
}

// fault: characters-cut
TEST_CASE("session: much (50 MB) pasted into a shell that echoes: both directions at once, nothing waits for ever") {
  const std::string text = big_text(kBig);
  Host host(Host::Kind::riverbox, [](int peer) {
    std::string buffer(65536, '\0');
    for (ssize_t n; (n = ::recv(peer, buffer.data(), buffer.size(), 0)) > 0;) write_whole(peer, {buffer.data(), static_cast<size_t>(n)});
  });
  auto file = file_with(text);
  Pipe out;
  auto reading = std::async(std::launch::async, [&] { return read_all(out.read.get()); });
  CHECK(run_client(host.client(file.get(), out.write.get())) == 0);
  out.write.reset();
  CHECK((reading.get() == text));
}

// fault: client-killed
TEST_CASE("session: a reader that has enough (| head) ends it quietly with 141 (F43)") {
  Host host(Host::Kind::riverbox, [](int peer) {
    std::string line(4096, 'y');
    while (::send(peer, line.data(), line.size(), MSG_NOSIGNAL) > 0) {}
  });
  Pipe in, out;
  auto head = std::async(std::launch::async, [&] {
    char few[10];
    auto n = ::read(out.read.get(), few, sizeof few);
    out.read.reset();
    return n;
  });
  CHECK(run_client(host.client(in.read.get(), out.write.get())) == 141);
  CHECK(head.get() == 10);
  CHECK(eventually([&] { return host.shell.hang_ups == 1; }));
}

TEST_CASE("session: why there is none is said") {
  auto null = os::open_read("/dev/null");
  auto out = file_with("");
  for (auto kind : {Host::Kind::riverbox, Host::Kind::classic}) {
    Host host(kind, nullptr);
    host.refusal.emplace("environment \"box\" is not running", "Start it with `hakuriver.docker start-container box`.");
    try {
      run_client(host.client(null.get(), out.get()));
      FAIL("it was refused");
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::conflict);
      CHECK(std::string(error.what()).find("is not running. Start it with `hakuriver.docker start-container box`.") != std::string::npos);
    }
  }
  {
    Host host(Host::Kind::refusing, nullptr);
    try {
      run_client(host.client(null.get(), out.get()));
      FAIL("it was refused");
    } catch (const Unauthorized& error) {
      CHECK(error.fact().find("Not authenticated") != std::string::npos);
      CHECK(error.next().find("token") != std::string::npos);
    }
  }
  ClientOptions nobody;
  nobody.url = "http://127.0.0.1:1/docker/host/containers/box/terminal";
  nobody.input = null.get();
  nobody.output = out.get();
  CHECK_THROWS_AS(run_client(nobody), Unavailable);
}

// fault: network-changes
TEST_CASE("session: the host goes away in the middle") {
  Host host(Host::Kind::riverbox, [](int peer) { read_all(peer); });
  Pipe in, out;
  auto client = std::async(std::launch::async, [&] { return run_client(host.client(in.read.get(), out.write.get())); });
  CHECK(eventually([&] { return host.shell.alive == 1; }));
  std::this_thread::sleep_for(50ms);
  host.vanish();
  try {
    client.get();
    FAIL("the connection was lost");
  } catch (const Unavailable& error) {
    CHECK(error.fact().find("connection to the host lost") != std::string::npos);
  }
  CHECK(eventually([&] { return host.shell.hang_ups == 1; }));
}

TEST_CASE("session: on a terminal everything typed goes to the shell, sizes follow, the terminal is as before afterwards") {
  for (auto kind : {Host::Kind::riverbox, Host::Kind::classic}) {
    ::setenv("TERM", "xterm-256color", 1);
    Host host(kind, [](int peer) {
      write_whole(peer, "$ ");
      char keys[16];
      size_t got = 0;
      while (got < 4) {
        auto n = ::recv(peer, keys + got, sizeof keys - got, 0);
        if (n <= 0) return;
        got += n;
      }
      write_whole(peer, std::string(keys, got) == "\x03\x1a\x04\x1c" ? "control keys came" : "others came");
      ::recv(peer, keys, 1, 0);
    });
    host.shell.status = 3;
    Screen screen(30, 90);
    CHECK_FALSE(screen.raw());
    int fd = screen.slave.get();
    auto client = std::async(std::launch::async, [&] { return run_client(host.client(fd, fd, fd)); });
    REQUIRE(screen.shows("$ "));
    CHECK(screen.raw());
    CHECK((::fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);  // others share this description
    CHECK(host.asked_for("tty") == "1");
    CHECK(host.asked_for("rows") == "30");
    CHECK(host.asked_for("cols") == "90");
    CHECK(host.asked_for("env.TERM") == "xterm-256color");
    screen.type("\x03\x1a\x04\x1c");
    CHECK(screen.shows("control keys came"));

    winsize size{.ws_row = 50, .ws_col = 120};
    ::ioctl(screen.master.get(), TIOCSWINSZ, &size);
    for (int i = 0; i < 20; ++i) ::kill(::getpid(), SIGWINCH);
    CHECK(eventually([&] { return host.shell.current_size() == std::pair(50, 120); }));
    CHECK(host.shell.resizes <= 4);

    screen.type("q");
    CHECK(client.get() == (kind == Host::Kind::riverbox ? 3 : 0));
    CHECK_FALSE(screen.raw());
  }
}

TEST_CASE("session: the detach keys, typed one by one, end the client; a lone ctrl-p reaches the shell") {
  std::atomic<int> got{0};
  Host host(Host::Kind::riverbox, [&](int peer) {
    write_whole(peer, "$ ");
    for (char c; ::recv(peer, &c, 1, 0) == 1;) got = c;
  });
  Screen screen(24, 80);
  int fd = screen.slave.get();
  auto client = std::async(std::launch::async, [&] { return run_client(host.client(fd, fd, fd)); });
  REQUIRE(screen.shows("$ "));
  screen.type("\x10");
  CHECK(eventually([&] { return got == 0x10; }));
  screen.type("\x10");
  std::this_thread::sleep_for(50ms);
  screen.type("\x11");
  CHECK(client.get() == 0);
  CHECK(got == 0x10);
  CHECK_FALSE(screen.raw());
  CHECK(screen.shows("detached from \"box\""));
  CHECK(eventually([&] { return host.shell.hang_ups == 1; }));
}

// fault: client-killed
TEST_CASE("session: when the local terminal goes away the client ends and so does the shell") {
  Host host(Host::Kind::riverbox, [](int peer) {
    write_whole(peer, "$ ");
    read_all(peer);
  });
  Screen screen(24, 80);
  int fd = screen.slave.get();
  auto client = std::async(std::launch::async, [&] { return run_client(host.client(fd, fd, fd)); });
  REQUIRE(screen.shows("$ "));
  screen.master.reset();
  CHECK(client.get() == 129);
  CHECK(eventually([&] { return host.shell.hang_ups == 1; }));
}
