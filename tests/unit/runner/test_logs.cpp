#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

#include <thread>

#include "base/json.hpp"
#include "runner/log_files.hpp"
#include "runner/log_stream.hpp"
#include "temporary_folder.hpp"

using namespace riverbox;
using namespace riverbox::runner;
namespace fs = std::filesystem;

namespace {

const AttemptId kId{TaskId(5), 1};

// Keeps what was sent, and counts it as queued until the test lets it go.
class FakeSocket : public net::WebSocket {
public:
  void start(Events events) override { events_ = std::move(events); }
  void send(std::string data, bool binary) override {
    if (hold) queued_ += data.size();
    if (!binary) {
      texts.push_back(std::move(data));
      return;
    }
    REQUIRE(!data.empty());
    REQUIRE((data[0] == 0 || data[0] == 1));
    output[static_cast<int>(data[0])] += data.substr(1);
    largest = std::max(largest, data.size());
  }
  size_t queued_bytes() const override { return queued_; }
  void pause_reading() override {}
  void resume_reading() override {}
  void close(std::uint16_t code, std::string) override {
    closed_with = code;
    events_.closed(code, "");
  }
  const std::string& subprotocol() const override { return subprotocol_; }
  void drain() {
    queued_ = 0;
    events_.drained();
  }

  std::string output[2];
  std::vector<std::string> texts;
  int closed_with = 0;
  size_t largest = 0;
  bool hold = false;

private:
  Events events_;
  size_t queued_ = 0;
  std::string subprotocol_ = "riverbox.logs.v1";
};

struct LogsFixture {
  test::TemporaryFolder dir;
  boost::asio::io_context loop;
  os::WorkerPool readers{"readers", 2};
  LogHub hub;
  std::shared_ptr<AttemptLog> log = hub.open(kId, {dir.path(), "out/5.out"}, {dir.path(), "err/5.err"});
  std::shared_ptr<FakeSocket> socket = std::make_shared<FakeSocket>();

  std::shared_ptr<LogStream> follow(std::uint64_t stdout_from = 0, std::uint64_t stderr_from = 0) {
    OpenLogs wanted;
    wanted.attempt = kId;
    wanted.from[0] = stdout_from;
    wanted.from[1] = stderr_from;
    auto stream = std::make_shared<LogStream>(loop, readers, log, wanted);
    stream->run(socket);
    return stream;
  }
  template <class Condition>
  bool run_until(Condition condition) {
    for (auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10); std::chrono::steady_clock::now() < end;) {
      loop.restart();
      loop.run_for(std::chrono::milliseconds(1));
      if (condition()) return true;
    }
    return false;
  }
};

}  // namespace

TEST_CASE("output lands in its two files, with folders made and mode 0644") {
  LogsFixture f;
  LogFiles files(f.log, false);
  files.begin_pass();
  files.consume(false, "hello ");
  files.consume(true, "oops");
  files.consume(false, "world");
  files.close();
  CHECK(test::contents(f.dir.path() / "out/5.out") == "hello world");
  CHECK(test::contents(f.dir.path() / "err/5.err") == "oops");
  CHECK(files.problem().empty());
  struct stat status {};
  REQUIRE(stat((f.dir.path() / "out/5.out").c_str(), &status) == 0);
  CHECK((status.st_mode & 07777 & ~022u) == (0644 & ~022u));
}

TEST_CASE("output that is read again from its first byte is not doubled") {
  LogsFixture f;
  LogFiles files(f.log, false);
  files.begin_pass();
  files.consume(false, "abc");
  files.begin_pass();  // the daemon was restarted in between
  files.consume(false, "a");
  files.consume(false, "bcde");
  files.close();
  CHECK(test::contents(f.dir.path() / "out/5.out") == "abcde");
}

TEST_CASE("after a restart the file is written over and never shorter in between") {
  LogsFixture f;
  fs::create_directories(f.dir.path() / "out");
  std::ofstream(f.dir.path() / "out/5.out") << "abcdef plus torn bytes";
  LogFiles files(f.log, true);
  CHECK(test::contents(f.dir.path() / "out/5.out").size() == 22);
  files.begin_pass();
  files.consume(false, "abcdef");
  files.close();
  CHECK(test::contents(f.dir.path() / "out/5.out") == "abcdef");
}

namespace {

// What is in the file after these writes, one string each, with a limit of ten bytes.
std::string limited(const std::vector<std::string>& writes, std::string* problem = nullptr) {
  LogsFixture f;
  LogFiles files(f.log, false, 10);
  files.begin_pass();
  for (const auto& bytes : writes) files.consume(false, bytes);
  files.close();
  if (problem) *problem = files.problem();
  CHECK(f.log->view().size_bytes[0] == test::contents(f.dir.path() / "out/5.out").size());
  return test::contents(f.dir.path() / "out/5.out");
}

const std::string kNotice = "[riverbox] The output goes on, but only its first 10 bytes are kept ([tasks] max_output).\n";

}  // namespace

TEST_CASE("what is beyond the limit is dropped, and a line at the end says so") {
  std::string problem;
  CHECK(limited({"0123456789"}, &problem) == "0123456789");
  CHECK(problem.empty());
  CHECK(limited({"0123456789a"}, &problem) == "0123456789\n" + kNotice);
  CHECK(problem == "Of its stdout only the first 10 B are kept.");
  CHECK(limited({"012345678\n", "more\n"}) == "012345678\n" + kNotice);
  CHECK(limited({"0123", "456789abc", "def", std::string(100'000, 'x')}) == "0123456789\n" + kNotice);
}

TEST_CASE("the limit cuts each stream at the same byte however often and in which pieces it is read") {
  LogsFixture f;
  const std::string out = "0123456789 and more", err = "123456789\nand more";
  LogFiles files(f.log, false, 10);
  for (size_t piece : {1u, 3u, 5u, 10u, 11u, 19u}) {
    files.begin_pass();  // the first ones are broken off
    for (size_t at = 0; at < (piece < 5 ? 12 : out.size()); at += piece) {
      files.consume(false, out.substr(at, piece));
      files.consume(true, err.substr(at, piece));
    }
  }
  CHECK(test::contents(f.dir.path() / "out/5.out") == "0123456789\n" + kNotice);
  CHECK(test::contents(f.dir.path() / "err/5.err") == "123456789\n" + kNotice);
  CHECK(files.problem() == "Of its stdout and of its stderr only the first 10 B are kept.");
  LogFiles again(f.log, true, 10);  // another runner
  again.begin_pass();
  again.consume(false, out);
  again.close();
  CHECK(test::contents(f.dir.path() / "out/5.out") == "0123456789\n" + kNotice);
}

TEST_CASE("a symlink in the place of an output file is not followed, the task goes on, the user is told") {
  LogsFixture f;
  fs::create_directories(f.dir.path() / "out");
  std::ofstream(f.dir.path() / "victim") << "precious";
  fs::create_symlink(f.dir.path() / "victim", f.dir.path() / "out/5.out");
  LogFiles files(f.log, false);
  files.begin_pass();
  files.consume(false, "attack");
  files.consume(true, "fine");
  files.close();
  CHECK(test::contents(f.dir.path() / "victim") == "precious");
  CHECK(test::contents(f.dir.path() / "err/5.err") == "fine");
  CHECK(files.problem().find("5.out") != std::string::npos);
}

TEST_CASE("a FIFO in the place of an output file does not hang the task") {
  LogsFixture f;
  fs::create_directories(f.dir.path() / "out");
  REQUIRE(mkfifo((f.dir.path() / "out/5.out").c_str(), 0600) == 0);
  LogFiles files(f.log, false);
  CHECK(files.failed());
}

TEST_CASE("a file that failed gets its output in the next pass") {
  LogsFixture f;
  std::ofstream(f.dir.path() / "out") << "a file where the folder should be";
  LogFiles files(f.log, false);
  files.begin_pass();
  files.consume(false, "lost at first");
  CHECK(files.failed());
  fs::remove(f.dir.path() / "out");
  files.begin_pass();
  files.consume(false, "lost at first");
  files.close();
  CHECK_FALSE(files.failed());
  CHECK(test::contents(f.dir.path() / "out/5.out") == "lost at first");
}

TEST_CASE("a full disk is noticed, reported, and does not stop the reading") {
  if (access("/dev/full", W_OK) != 0) return;
  LogsFixture f;
  auto full = std::make_shared<AttemptLog>(std::filesystem::path("/dev/full"), f.dir.path() / "e");
  LogFiles files(full, false);
  files.begin_pass();
  files.consume(false, "x");
  files.consume(true, "y");
  files.close();
  CHECK(files.problem().find("/dev/full") != std::string::npos);
  CHECK(test::contents(f.dir.path() / "e") == "y");
}

TEST_CASE("a follower gets what is there, what comes, and the end") {
  LogsFixture f;
  LogFiles files(f.log, false);
  files.begin_pass();
  files.consume(false, "first ");
  auto stream = f.follow();
  CHECK(f.run_until([&] { return f.socket->output[0] == "first "; }));
  std::thread writer([&] {
    for (int i = 0; i < 100; ++i) files.consume(i % 2, "line\n");
    files.close();
    f.hub.finish(kId);
  });
  CHECK(f.run_until([&] { return f.socket->closed_with != 0; }));
  writer.join();
  CHECK(f.socket->closed_with == 1000);
  CHECK(f.socket->output[0].size() == 6 + 250);
  CHECK(f.socket->output[1].size() == 250);
  REQUIRE(f.socket->texts.size() == 1);
  CHECK(nlohmann::json::parse(f.socket->texts[0]) == nlohmann::json{{"type", "end"}});
}

TEST_CASE("offsets make a reconnect lose and double nothing, also those beyond the end") {
  LogsFixture f;
  LogFiles files(f.log, false);
  files.begin_pass();
  files.consume(false, "0123456789");
  auto stream = f.follow(4, 2);
  CHECK(f.run_until([&] { return f.socket->output[0] == "456789"; }));
  files.consume(true, "ab");
  files.consume(true, "cd");
  files.close();
  f.hub.finish(kId);
  CHECK(f.run_until([&] { return f.socket->closed_with == 1000; }));
  CHECK(f.socket->output[1] == "cd");
}

TEST_CASE("a slow follower stops the reading and misses nothing") {
  LogsFixture f;
  LogFiles files(f.log, false);
  files.begin_pass();
  const std::string megabyte(1 << 20, 'x');
  for (int i = 0; i < 4; ++i) files.consume(false, megabyte);
  files.close();
  f.hub.finish(kId);
  f.socket->hold = true;
  auto stream = f.follow();
  f.run_until([&] { return f.socket->queued_bytes() > (256 << 10); });
  auto before = f.socket->output[0].size();
  CHECK_FALSE([&] {  // nothing more while the socket is full
    for (int i = 0; i < 50; ++i) {
      f.loop.restart();
      f.loop.run_for(std::chrono::milliseconds(1));
    }
    return f.socket->output[0].size() > before + (128 << 10);
  }());
  CHECK(before < (600 << 10));
  CHECK(f.run_until([&] {
    if (f.socket->closed_with == 0 && f.socket->queued_bytes() > 0) f.socket->drain();
    return f.socket->closed_with != 0;
  }));
  CHECK(f.socket->output[0].size() == megabyte.size() * 4);
  CHECK(f.socket->largest <= (64 << 10) + 1);
}

TEST_CASE("a part of a file is sent as it is now, after a head that says what it is") {
  LogsFixture f;
  std::ofstream(f.dir.path() / "log") << "0123\n5678\n";
  auto sent = [&](const std::string& file, std::optional<std::string> range, std::optional<std::uint64_t> lines) {
    f.socket = std::make_shared<FakeSocket>();
    auto part = find_part(f.dir.path(), {file, {std::move(range), lines}});
    OpenLogs wanted;
    wanted.from[0] = part.from;
    auto stream = std::make_shared<LogStream>(f.loop, f.readers, part.log, wanted, part.head);
    stream->run(f.socket);
    CHECK(f.run_until([&] { return f.socket->closed_with == 1000; }));
    REQUIRE(f.socket->texts.size() == 2);
    return nlohmann::json::parse(f.socket->texts[0]);
  };
  auto head = sent("log", std::nullopt, std::nullopt);
  CHECK(head == nlohmann::json{{"type", "part"}, {"state", "whole"}, {"offset", 0}, {"size_bytes", 10}, {"whole_bytes", 10}});
  CHECK(f.socket->output[0] == "0123\n5678\n");
  head = sent("log", "bytes=2-6", std::nullopt);
  CHECK(head["state"] == "part");
  CHECK(head["offset"] == 2);
  CHECK(f.socket->output[0] == "23\n56");
  head = sent("log", "bytes=2-6", 1);
  CHECK(head["state"] == "whole");
  CHECK(head["offset"] == 5);
  CHECK(f.socket->output[0] == "5678\n");
  CHECK(sent("log", "bytes=10-", std::nullopt)["state"] == "unsatisfiable");
  CHECK(f.socket->output[0] == "");
  CHECK(sent("none", std::nullopt, 5)["state"] == "missing");
  for (const char* bad : {"../log", "/etc/passwd", "", "."}) {
    head = sent(bad, std::nullopt, std::nullopt);
    CHECK(head["state"] == "error");
    CHECK(f.socket->output[0] == "");
  }
  REQUIRE(mkfifo((f.dir.path() / "fifo").c_str(), 0600) == 0);
  CHECK(sent("fifo", std::nullopt, std::nullopt)["state"] == "error");
  fs::create_symlink("/etc/passwd", f.dir.path() / "link");
  CHECK(sent("link", std::nullopt, std::nullopt)["state"] == "error");
}

TEST_CASE("a log that cannot be read ends the stream without \"end\"") {
  LogsFixture f;
  f.log->grown(false, 10);  // the file does not exist
  auto stream = f.follow();
  CHECK(f.run_until([&] { return f.socket->closed_with != 0; }));
  CHECK(f.socket->closed_with == 1011);
  CHECK(f.socket->texts.empty());
}

TEST_CASE("an unknown attempt closes the stream with a reason") {
  LogsFixture f;
  CHECK(f.hub.find({TaskId(6), 1}) == nullptr);
  f.log = nullptr;
  auto stream = f.follow();
  CHECK(f.socket->closed_with == 1011);
}

TEST_CASE("finished logs are remembered, but not for ever") {
  LogHub hub;
  for (unsigned i = 1; i <= 600; ++i) {
    hub.open({TaskId(i), 1}, os::Place("a"), os::Place("b"));
    hub.finish({TaskId(i), 1});
  }
  CHECK(hub.find({TaskId(1), 1}) == nullptr);
  REQUIRE(hub.find({TaskId(600), 1}) != nullptr);
  CHECK(hub.find({TaskId(600), 1})->view().finished);
}
