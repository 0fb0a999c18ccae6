#include <doctest/doctest.h>

#include <boost/asio/executor_work_guard.hpp>

#include <functional>

#include "base/json.hpp"
#include "fakes.hpp"
#include "terminal/protocol.hpp"
#include "terminal/relay.hpp"

using namespace riverbox;
using namespace riverbox::terminal;
using namespace std::chrono_literals;
using fakes::FakeShell;
using fakes::FakeSocket;
using nlohmann::json;

namespace {

// A relay whose loop the test turns by hand.
struct Bench {
  boost::asio::io_context loop;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{loop.get_executor()};
  fakes::ShellState shell;
  std::shared_ptr<FakeSocket> socket = std::make_shared<FakeSocket>();
  std::atomic<int> opened{0};
  OpenRequest request;
  os::WorkerPool workers{"shells", 4};

  ~Bench() {
    socket->vanish();  // else session and socket hold each other
    until([&] { return shell.alive == 0; });
    settle(5ms);
  }

  Opener opener() {
    return [this](const OpenRequest& r) {
      request = r;
      auto shell_ptr = std::make_unique<FakeShell>(shell);
      ++opened;
      return shell_ptr;
    };
  }
  void start(Dialect dialect, Opener custom = nullptr) {
    RelayOptions options;
    options.dialect = dialect;
    start_relay(loop, workers, socket, custom ? custom : opener(), options);
  }
  bool until(const std::function<bool()>& condition, std::chrono::milliseconds patience = 20s) {
    auto deadline = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      loop.run_one_for(10ms);
    }
    return true;
  }
  void settle(std::chrono::milliseconds time = 50ms) { loop.run_for(time); }
  void client_says(const std::string& message, bool binary) { socket->events.message(message, binary); }
  void types(const std::string& text) { client_says(json{{"type", "input"}, {"data", text}}.dump(), false); }
  void shell_says(std::string_view text) { REQUIRE(::send(shell.peer, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size())); }
  std::string output() {  // of a classic session
    std::string all;
    for (auto& message : socket->sent)
      if (auto frame = json::parse(message); frame["type"] == "output") all += frame["data"].get<std::string>();
    return all;
  }
  bool is_open() { return until([&] { return !socket->sent.empty(); }); }
};

}  // namespace

TEST_CASE("relay, classic: a session from the greeting to the end") {
  Bench bench;
  bench.start(Dialect::classic);
  REQUIRE(bench.is_open());
  CHECK(bench.output() == "Terminal connected.\r\n");
  bench.types("ls \xc3\xa9\n");
  char typed[64];
  bench.settle();
  CHECK(std::string(typed, ::recv(bench.shell.peer, typed, sizeof typed, 0)) == "ls \xc3\xa9\n");
  bench.shell_says("file\xe2\x82");
  bench.settle();
  bench.shell_says("\xac\r\n\xf0\x9f");
  ::shutdown(bench.shell.peer, SHUT_WR);
  CHECK(bench.until([&] { return bench.socket->closed.has_value(); }));
  CHECK(bench.output() == "Terminal connected.\r\nfile\xe2\x82\xac\r\n\xef\xbf\xbd");
  CHECK(bench.socket->closed == std::pair<int, std::string>(1000, ""));
  bench.socket->vanish();
  bench.settle();
  CHECK(bench.shell.exit_calls == 1);
  CHECK(bench.shell.hang_ups == 0);  // what it left running on purpose goes on
  CHECK(bench.shell.alive == 0);
}

TEST_CASE("relay, classic: what is typed after a resize reaches the shell after it") {
  Bench bench;
  bench.shell.resize_ms = 100;
  bench.start(Dialect::classic);
  REQUIRE(bench.is_open());
  bench.client_says(R"({"type":"resize","rows":51,"cols":132})", false);
  bench.types("stty size\n");
  char typed[64];
  bench.settle(20ms);
  CHECK(::recv(bench.shell.peer, typed, sizeof typed, MSG_DONTWAIT) < 0);
  ssize_t size = -1;
  CHECK(bench.until([&] { return (size = ::recv(bench.shell.peer, typed, sizeof typed, MSG_DONTWAIT)) > 0; }));
  CHECK(std::string(typed, static_cast<size_t>(size)) == "stty size\n");
  CHECK(bench.shell.current_size() == std::pair(51, 132));
}

// fault: characters-cut
TEST_CASE("relay, classic: every place where a read can cut a character (F41)") {
  std::string text = "\xc3\xa9\xe2\x82\xac\xf0\x9f\x9a\xa2!";
  for (size_t cut = 1; cut < text.size(); ++cut) {
    Bench bench;
    bench.start(Dialect::classic);
    REQUIRE(bench.is_open());
    bench.socket->sent.clear();
    bench.shell_says(text.substr(0, cut));
    bench.settle(10ms);
    bench.shell_says(text.substr(cut));
    CHECK(bench.until([&] { return bench.output() == text; }));
    bench.socket->vanish();
    CHECK(bench.until([&] { return bench.shell.alive == 0; }));
  }
}

TEST_CASE("relay, kohaku: the first frame brings the size") {
  Bench bench;
  bench.start(Dialect::kohaku);
  bench.settle();
  CHECK(bench.opened == 0);
  bench.client_says(R"({"type":"resize","rows":51,"cols":132})", false);
  REQUIRE(bench.is_open());
  CHECK(bench.request.rows == 51);
  CHECK(bench.request.columns == 132);
  CHECK(bench.socket->sent[0] == R"({"type":"output","data":""})");
  bench.socket->vanish();
  CHECK(bench.until([&] { return bench.shell.alive == 0; }));
}

TEST_CASE("relay, kohaku: input in the first frame is kept, silence is not waited for") {
  {
    Bench bench;
    bench.start(Dialect::kohaku);
    bench.types("echo early\n");
    REQUIRE(bench.is_open());
    char typed[64];
    CHECK(std::string(typed, ::recv(bench.shell.peer, typed, sizeof typed, 0)) == "echo early\n");
    bench.socket->vanish();
    CHECK(bench.until([&] { return bench.shell.alive == 0; }));
  }
  Bench bench;
  auto begin = std::chrono::steady_clock::now();
  bench.start(Dialect::kohaku);
  REQUIRE(bench.is_open());
  CHECK(std::chrono::steady_clock::now() - begin >= 1900ms);
  CHECK(bench.request.rows == 24);
  bench.socket->vanish();
  CHECK(bench.until([&] { return bench.shell.alive == 0; }));
}

TEST_CASE("relay, ours: ready, output, exit status") {
  Bench bench;
  bench.shell.status = 42;
  bench.start(Dialect::riverbox);
  REQUIRE(bench.is_open());
  CHECK(bench.socket->sent[0] == frame(Channel::ready));
  bench.client_says(frame(Channel::data, "x\xff"), true);
  bench.client_says(frame(Channel::end), true);
  bench.settle();
  char typed[64];
  CHECK(std::string(typed, ::recv(bench.shell.peer, typed, sizeof typed, 0)) == "x\xff");
  CHECK(::recv(bench.shell.peer, typed, sizeof typed, 0) == 0);  // the end of the input arrived
  bench.shell_says("\xff\xfe");
  ::shutdown(bench.shell.peer, SHUT_WR);
  CHECK(bench.until([&] { return bench.socket->closed.has_value(); }));
  REQUIRE(bench.socket->sent.size() == 3);
  CHECK(bench.socket->sent[1] == frame(Channel::data, "\xff\xfe"));
  CHECK(bench.socket->sent[2] == frame_u32(Channel::exit, 42));
  CHECK(bench.socket->closed->first == 1000);
}

TEST_CASE("relay, ours: an exit status that cannot be had is a failure, not a zero") {
  Bench bench;
  bench.shell.exit_fails = true;
  bench.start(Dialect::riverbox);
  REQUIRE(bench.is_open());
  ::shutdown(bench.shell.peer, SHUT_WR);
  CHECK(bench.until([&] { return bench.socket->closed.has_value(); }));
  CHECK(bench.socket->closed->first == 1011);
  CHECK(parse(bench.socket->sent.back())->channel == Channel::failure);
  CHECK(bench.shell.hang_ups == 1);
}

TEST_CASE("relay: why the shell could not be opened is said, with the right code") {
  auto not_running = [](const OpenRequest&) -> std::unique_ptr<Shell> {
    throw Conflict("environment \"x\" is not running", "Start it with `hakuriver.docker start-container x`.");
  };
  auto missing = [](const OpenRequest&) -> std::unique_ptr<Shell> { throw NotFound("there is no environment \"x\""); };
  auto broken = [](const OpenRequest&) -> std::unique_ptr<Shell> { throw Unavailable("Docker does not answer"); };
  auto surprise = [](const OpenRequest&) -> std::unique_ptr<Shell> { throw std::runtime_error("surprise"); };
  for (auto dialect : {Dialect::classic, Dialect::riverbox}) {
    for (auto& [opener, code] : std::vector<std::pair<Opener, int>>{{not_running, 1008}, {missing, 1008}, {broken, 1011}, {surprise, 1011}}) {
      Bench bench;
      bench.start(dialect, opener);
      CHECK(bench.until([&] { return bench.socket->closed.has_value(); }));
      CHECK(bench.socket->closed->first == code);
      REQUIRE(bench.socket->sent.size() == 1);
    }
  }
  Bench bench;
  bench.start(Dialect::classic, not_running);
  CHECK(bench.until([&] { return bench.socket->closed.has_value(); }));
  auto error = json::parse(bench.socket->sent[0]);
  CHECK(error["type"] == "error");
  CHECK(error["data"].get<std::string>().find("start-container x") != std::string::npos);
}

TEST_CASE("relay: a connection for which there is no session gets the reason in its dialect") {
  FakeSocket ours, classic;
  refuse(ours, Dialect::riverbox, ErrorKind::conflict, "it is paused");
  CHECK(ours.sent == std::vector<std::string>{frame(Channel::failure, "it is paused")});
  CHECK(ours.closed->first == 1008);
  refuse(classic, Dialect::kohaku, ErrorKind::timeout, "it does not answer");
  REQUIRE(classic.sent.size() == 1);
  CHECK(json::parse(classic.sent[0]) == json{{"type", "error"}, {"data", "it does not answer"}});
  CHECK(classic.closed->first == 1011);
}

// fault: network-changes
TEST_CASE("relay: when the client vanishes the shell is hung up, once") {
  for (auto dialect : {Dialect::classic, Dialect::riverbox}) {
    Bench bench;
    bench.start(dialect);
    REQUIRE(bench.is_open());
    bench.socket->vanish();
    CHECK(bench.until([&] { return bench.shell.alive == 0; }));
    bench.settle();
    CHECK(bench.shell.hang_ups == 1);
    CHECK(bench.shell.exit_calls == 0);
  }
}

// An exec whose output nobody reads holds up every other exec of its container for 12 s (Docker Engine 20.10).
TEST_CASE("relay: the output of a shell that is being hung up is read and dropped")  {
  Bench bench;
  bench.shell.hang_up_ms = 200;
  bench.start(Dialect::riverbox);
  REQUIRE(bench.is_open());
  std::atomic<size_t> written{0};
  std::thread yes([&] {
    std::string lines(64 * 1024, 'y');
    for (ssize_t n; (n = ::send(bench.shell.peer, lines.data(), lines.size(), MSG_NOSIGNAL)) > 0;) written += n;
  });
  bench.settle(100ms);
  size_t before = written, sent = bench.socket->sent_bytes;
  bench.socket->vanish();
  CHECK(bench.until([&] { return bench.shell.alive == 0; }));
  yes.join();
  CHECK(written > before + (1 << 20));
  CHECK(bench.socket->sent_bytes == sent);
  CHECK(bench.shell.hang_ups == 1);
}

TEST_CASE("relay: the client vanishes while the shell is being opened") {
  Bench bench;
  std::atomic<bool> go{false};
  bench.start(Dialect::riverbox, [&](const OpenRequest&) -> std::unique_ptr<Shell> {
    while (!go) std::this_thread::sleep_for(1ms);
    return std::make_unique<FakeShell>(bench.shell);
  });
  bench.settle(10ms);
  bench.socket->vanish();
  go = true;
  CHECK(bench.until([&] { return bench.shell.hang_ups == 1 && bench.shell.alive == 0; }));
  CHECK(bench.socket->sent.empty());
  CHECK(bench.socket.use_count() == 1);  // nothing is left behind
}

TEST_CASE("relay: a full worker pool delays the hang-up, it does not lose it") {
  Bench bench;
  os::WorkerPool small("small", 1, 1);
  RelayOptions options;
  options.dialect = Dialect::riverbox;
  start_relay(bench.loop, small, bench.socket, bench.opener(), options);
  REQUIRE(bench.is_open());
  std::atomic<bool> go{false};
  while (small.post([&] { while (!go) std::this_thread::sleep_for(1ms); })) std::this_thread::sleep_for(2ms);
  bench.socket->vanish();
  bench.settle(300ms);
  CHECK(bench.shell.hang_ups == 0);
  go = true;
  CHECK(bench.until([&] { return bench.shell.hang_ups == 1; }));
}

TEST_CASE("relay: strangers are sent away and their shell ends") {
  for (auto [dialect, message, binary, code] : {std::tuple{Dialect::classic, "[1]", false, 1000}, {Dialect::classic, "x", true, 1000},
                                                {Dialect::riverbox, "x", false, 1002}, {Dialect::riverbox, "\x07", true, 1002}}) {
    Bench bench;
    bench.start(dialect);
    REQUIRE(bench.is_open());
    bench.client_says(message, binary);
    REQUIRE(bench.socket->closed);
    CHECK(bench.socket->closed->first == code);
    CHECK(bench.until([&] { return bench.shell.hang_ups == 1 && bench.shell.alive == 0; }));
    bench.socket->vanish();
  }
}

// fault: resize-storm
TEST_CASE("relay: a storm of sizes; the last sane one wins (F40)") {
  Bench bench;
  bench.shell.resize_ms = 5;
  bench.start(Dialect::riverbox);
  REQUIRE(bench.is_open());
  for (int i = 0; i < 1000; ++i) {
    bench.client_says(frame_size(static_cast<std::uint16_t>(20 + i % 50), 100), true);
    bench.client_says(frame_size(0, 100), true);
    bench.client_says(frame_size(65535, 65535), true);
    bench.loop.poll();
  }
  bench.client_says(frame_size(33, 77), true);
  bench.client_says(frame_size(33, 0), true);
  CHECK(bench.until([&] { return bench.shell.current_size() == std::pair(33, 77); }));
  bench.settle();
  CHECK(bench.shell.current_size() == std::pair(33, 77));
  CHECK(bench.shell.resizes < 200);
  CHECK(bench.shell.most_concurrent == 1);
  bench.socket->vanish();
  CHECK(bench.until([&] { return bench.shell.alive == 0; }));
  CHECK(bench.shell.most_concurrent == 1);
}

// fault: reader-stops
TEST_CASE("relay: a reader that stops reading does not fill the memory (F39)") {
  for (auto dialect : {Dialect::classic, Dialect::riverbox}) {
    Bench bench;
    bench.socket->slow = true;
    bench.start(dialect);
    REQUIRE(bench.is_open());
    std::atomic<size_t> written{0};
    std::thread yes([&] {
      std::string lines(64 * 1024, 'y');
      for (ssize_t n; (n = ::send(bench.shell.peer, lines.data(), lines.size(), MSG_NOSIGNAL)) > 0;) written += n;
    });
    bench.settle(300ms);
    CHECK(bench.socket->most_queued < 512 * 1024);
    size_t stalled_at = written;
    bench.settle(100ms);
    CHECK(written == stalled_at);  // `yes` waits, and nothing is lost
    bench.socket->deliver();
    bench.client_says(dialect == Dialect::classic ? R"({"type":"x"})" : frame_u32(Channel::consumed, 400000), dialect != Dialect::classic);
    CHECK(bench.until([&] { return written > stalled_at; }));
    bench.socket->vanish();
    CHECK(bench.until([&] { return bench.shell.alive == 0; }));
    yes.join();
  }
}

TEST_CASE("relay, ours: output waits for the acknowledgements of the screen") {
  Bench bench;
  bench.start(Dialect::riverbox);
  REQUIRE(bench.is_open());
  std::thread writer([&] {
    std::string lines(64 * 1024, 'y');
    while (::send(bench.shell.peer, lines.data(), lines.size(), MSG_NOSIGNAL) > 0) {}
  });
  bench.settle(200ms);
  size_t first = bench.socket->sent_bytes;
  CHECK(first >= kWindowBytes);
  CHECK(first < kWindowBytes + 80 * 1024);
  bench.client_says(frame_u32(Channel::consumed, 256 * 1024), true);
  bench.settle(200ms);
  CHECK(bench.socket->sent_bytes - first >= 200 * 1024);
  CHECK(bench.socket->sent_bytes - first < 340 * 1024);
  bench.client_says(frame_u32(Channel::consumed, 0xffffffff), true);  // more than was sent: believed only so far
  bench.settle(200ms);
  CHECK(bench.socket->sent_bytes < 2 * (kWindowBytes + 256 * 1024));
  bench.socket->vanish();
  CHECK(bench.until([&] { return bench.shell.alive == 0; }));
  writer.join();
}

// fault: characters-cut
TEST_CASE("relay: a paste that the shell does not take stops the client, and goes on when it does (F41)") {
  Bench bench;
  bench.start(Dialect::classic);
  REQUIRE(bench.is_open());
  std::string sent, chunk;
  for (int i = 0; i < 20000; ++i) chunk += static_cast<char>('a' + i % 26);
  while (!bench.socket->paused && sent.size() < (8u << 20)) {
    bench.types(chunk);
    sent += chunk;
  }
  CHECK(bench.socket->paused);
  CHECK(sent.size() < (1u << 20));
  std::string got;
  std::thread reader([&] {
    std::string buffer(65536, '\0');
    while (got.size() < sent.size()) {
      auto n = ::recv(bench.shell.peer, buffer.data(), buffer.size(), 0);
      if (n <= 0) break;
      got.append(buffer, 0, n);
    }
  });
  CHECK(bench.until([&] { return !bench.socket->paused; }));
  bench.settle(100ms);
  reader.join();
  CHECK(got == sent);
  bench.socket->vanish();
  CHECK(bench.until([&] { return bench.shell.alive == 0; }));
}

TEST_CASE("relay, ours: input is acknowledged, so that a paste leaves room for the rest") {
  Bench bench;
  bench.start(Dialect::riverbox);
  REQUIRE(bench.is_open());
  std::atomic<size_t> got{0};
  std::thread reader([&] {
    std::string buffer(65536, '\0');
    for (ssize_t n; (n = ::recv(bench.shell.peer, buffer.data(), buffer.size(), 0)) > 0;) got += n;
  });
  const size_t total = 50'000'000;
  size_t sent = 0, in_flight = 0, read_messages = 0;
  std::string chunk(32 * 1024, 'p');
  bool complete = bench.until([&] {
    for (; read_messages < bench.socket->sent.size(); ++read_messages)
      if (auto message = parse(bench.socket->sent[read_messages]); message->channel == Channel::consumed) in_flight -= *message->u32();
    while (sent < total && in_flight + chunk.size() <= kInputWindowBytes) {
      bench.client_says(frame(Channel::data, chunk), true);
      sent += chunk.size();
      in_flight += chunk.size();
    }
    return sent >= total && got == sent;
  }, 30s);
  CHECK(complete);
  CHECK(bench.socket->pauses == 0);
  bench.socket->vanish();
  CHECK(bench.until([&] { return bench.shell.alive == 0; }));
  reader.join();
}

// fault: shell-dies
TEST_CASE("relay: a shell that breaks is reported and hung up") {
  struct Breaking : FakeShell {
    using FakeShell::FakeShell;
    std::optional<size_t> read_some(char*, size_t, bool&) override { throw Unavailable("Docker went away"); }
  };
  Bench bench;
  bench.start(Dialect::riverbox, [&](const OpenRequest&) { return std::make_unique<Breaking>(bench.shell); });
  CHECK(bench.until([&] { return bench.socket->closed.has_value(); }));
  CHECK(bench.socket->closed->first == 1011);
  CHECK(std::string(parse(bench.socket->sent.back())->payload).find("Docker went away") != std::string::npos);
  CHECK(bench.until([&] { return bench.shell.alive == 0; }));
  CHECK(bench.shell.hang_ups == 1);
}
