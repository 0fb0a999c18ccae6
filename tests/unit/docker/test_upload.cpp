// Loads whose bytes lie in files: what arrives, what is read, and every way in which file or daemon can fail meanwhile.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>

#include "docker/answer_reader.hpp"
#include "docker/upload.hpp"
#include "fake_daemon.hpp"

using namespace riverbox;
using namespace riverbox::docker;
using namespace riverbox::docker::test;
using Clock = std::chrono::steady_clock;

namespace {

// A file without a name.
class TemporaryFile {
public:
  explicit TemporaryFile(const std::string& bytes) {
    char name[] = "/tmp/rb-upload-XXXXXX";
    fd_ = ::mkstemp(name);
    ::unlink(name);
    REQUIRE(::write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  }
  ~TemporaryFile() { ::close(fd_); }
  int fd() const { return fd_; }

private:
  int fd_;
};

std::string some_bytes(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>('a' + (i * 31 + i / 4096) % 26);
  return bytes;
}

Answer loaded() { return chunked_answer({"{\"stream\":\"Loaded image: a:b\\n\"}\n"}); }

std::string body_of(const Response& response, const std::string& sunk) { return response.status == 200 ? sunk : response.body; }

// Fed in pieces of `piece` bytes.
std::pair<long, std::string> read_answer(const std::string& bytes, size_t piece, bool ends = false) {
  std::string sunk;
  AnswerReader reader("load", [&](std::string_view part) { sunk += part; });
  for (size_t at = 0; at < bytes.size(); at += piece) reader.feed(std::string_view(bytes).substr(at, piece));
  if (ends) reader.end();
  REQUIRE(reader.complete());
  return {reader.response().status, body_of(reader.response(), sunk)};
}

}  // namespace

TEST_CASE("an answer is understood in whatever pieces and form it comes") {
  for (const size_t piece : {size_t{1}, size_t{2}, size_t{7}, size_t{1000}}) {
    CAPTURE(piece);
    CHECK(read_answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", piece) == std::pair{200L, std::string("hello")});
    CHECK(read_answer("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: x\r\n\r\n", piece).second == "hello");
    CHECK(read_answer("HTTP/1.0 200 OK\r\n\r\nto the end", piece, true).second == "to the end");
    CHECK(read_answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno", piece) == std::pair{500L, std::string("no")});
    CHECK(read_answer("HTTP/1.1 204 No Content\r\n\r\n", piece).first == 204);
    CHECK(read_answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", piece).second.empty());
  }
  for (const char* bad : {"SSH-2.0-OpenSSH\r\n", "HTTP/1.1 abc\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
                          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
                          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"}) {
    CAPTURE(bad);
    AnswerReader reader("load", {});
    CHECK_THROWS_WITH_AS(reader.feed(bad), doctest::Contains("does not answer like a Docker daemon"), DockerConnectionError);
  }
  AnswerReader flooded("load", {});
  CHECK_THROWS_AS([&] { for (int i = 0; i < 100; ++i) flooded.feed(std::string(1000, 'x')); }(), DockerConnectionError);
  AnswerReader silent("load", {}), cut("load", {});
  CHECK_THROWS_WITH_AS(silent.end(), doctest::Contains("without an answer"), DockerConnectionError);
  cut.feed("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
  CHECK_THROWS_WITH_AS(cut.end(), doctest::Contains("in the middle of its answer"), DockerConnectionError);
}

TEST_CASE("segments arrive in order, byte for byte, with their length") {
  const std::string bytes = some_bytes(9 << 20);
  const TemporaryFile file(bytes);
  const std::vector<Segment> segments{{"head", -1, 0, 0}, {{}, file.fd(), 100, 6 << 20}, {}, {"middle", -1, 0, 0}, {{}, file.fd(), 3, 5}, {"tail", -1, 0, 0}};
  const std::string expected = "head" + bytes.substr(100, 6 << 20) + "middle" + bytes.substr(3, 5) + "tail";
  SUBCASE("over a unix socket") {
    FakeDaemon daemon([](auto&) { return loaded(); });
    Engine engine(daemon.endpoint());
    std::vector<std::uint64_t> told;
    const auto result = engine.load_image(segments, [&](std::uint64_t sent) { told.push_back(sent); }, {});
    CHECK(result.loaded == std::vector<std::string>{"a:b"});
    CHECK(result.error.empty());
    const auto seen = daemon.seen().back();
    CHECK(seen.body == expected);
    CHECK(seen.target == "/images/load?quiet=1");
    CHECK(seen.head.find("Content-Type: application/x-tar\r\n") != std::string::npos);
    CHECK(std::is_sorted(told.begin(), told.end()));
    CHECK(told.front() == 0);
    CHECK(told.back() == expected.size() - 4);  // before the last segment, whatever else
  }
  SUBCASE("by copying, as over TCP and TLS") {
    UploadBody body(segments, {});
    CHECK(body.size_bytes() == expected.size());
    std::string copied, buffer(70'001, '\0');
    while (const size_t n = body.read(buffer.data(), buffer.size())) copied.append(buffer, 0, n);
    CHECK(copied == expected);
  }
}

TEST_CASE("a file that is shorter than promised ends the load, and the caller may say why") {
  const TemporaryFile file(some_bytes(100'000));
  const std::vector<Segment> segments{{"head", -1, 0, 0}, {{}, file.fd(), 0, 100'001}, {"tail", -1, 0, 0}};
  FakeDaemon daemon([](auto&) { return loaded(); });
  Engine engine(daemon.endpoint());
  CHECK_THROWS_WITH_AS(engine.load_image(segments, {}, {}), doctest::Contains("the data ended after 100004 of 100009 bytes"), ImageImportError);
  const auto judge = [](std::uint64_t sent) {
    if (sent > 4) throw BadData("the archive was changed");
  };
  CHECK_THROWS_WITH_AS(engine.load_image(segments, judge, {}), doctest::Contains("was changed"), BadData);
  constexpr int kNoDescriptor = 1 << 20;
  CHECK_THROWS_AS(engine.load_image({{{}, kNoDescriptor, 0, 10}}, {}, {}), IoError);
  CHECK(daemon.seen().empty());  // no request was ever complete
}

// fault: docker-silent
TEST_CASE("a daemon that answers early, hangs up or talks nonsense during a load") {
  const TemporaryFile file(std::string(64 << 20, 'x'));
  const std::vector<Segment> segments{{{}, file.fd(), 0, 64 << 20}};
  Answer answer = json_answer(R"({"message":"no space left on device"})", 500);
  answer.close_before_body = true;
  FakeDaemon daemon([&](auto&) { return answer; });
  Engine engine(daemon.endpoint());
  CHECK_THROWS_WITH_AS(engine.load_image(segments, {}, {}), doctest::Contains("no space left on device"), ImageImportError);
  answer = chunked_answer({R"({"errorDetail":{"message":"invalid archive"},"error":"invalid archive"})" "\n"}, false);
  answer.close_before_body = true;
  CHECK(engine.load_image(segments, {}, {}).error == "invalid archive");
  answer = Answer{};
  answer.close_before_body = true;
  CHECK_THROWS_WITH_AS(engine.load_image(segments, {}, {}), doctest::Contains("closed the connection without an answer"), DockerConnectionError);
  answer = Answer{{"220 smtp.example\r\n"}};
  CHECK_THROWS_AS(engine.load_image(segments, {}, {}), DockerConnectionError);
  answer = loaded();
  CHECK(engine.load_image(segments, {}, {}).error.empty());
}

// fault: docker-silent
TEST_CASE("a daemon that takes nothing does not keep a load that was given up") {
  const TemporaryFile file(std::string(64 << 20, 'x'));
  std::atomic<bool> let_go{false};
  FakeDaemon daemon([&](auto&) {
    while (!let_go) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return loaded();
  });
  Engine engine(daemon.endpoint());
  CancelToken token;
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    token.cancel();
  });
  const auto start = Clock::now();
  CHECK_THROWS_AS(engine.load_image({{{}, file.fd(), 0, 64 << 20}}, {}, token), Cancelled);
  CHECK(Clock::now() - start < std::chrono::seconds(10));
  later.join();
  CancelToken late;
  late.set_deadline(Clock::now() + std::chrono::milliseconds(200));
  CHECK_THROWS_AS(engine.load_image({{{}, file.fd(), 0, 64 << 20}}, {}, late), Timeout);
  let_go = true;
}

TEST_CASE("a load that was prepared has begun already, and one that cannot use it begins anew") {
  const std::string bytes = some_bytes(300'000);
  const TemporaryFile file(bytes);
  const std::vector<Segment> segments{{"begin, head", -1, 0, 0}, {{}, file.fd(), 10, 200'000}, {"tail", -1, 0, 0}};
  const std::string expected = "begin, head" + bytes.substr(10, 200'000) + "tail";
  FakeDaemon daemon([](const Seen& seen) { return seen.target == "/version" ? json_answer(R"({"Version":"20.10.24","MinAPIVersion":"1.12"})") : loaded(); });
  Engine engine(daemon.endpoint());
  const auto loads = [&] { return engine.load_image(segments, {}, {}).loaded == std::vector<std::string>{"a:b"}; };
  const auto is_chunked = [](const Seen& seen) { return seen.head.find("Transfer-Encoding: chunked") != std::string::npos; };
  engine.prepare_load("begin");

  SUBCASE("once") {
    CHECK(loads());
    CHECK(is_chunked(daemon.seen().back()));
    CHECK(daemon.seen().back().body == expected);
    CHECK(loads());
    CHECK_FALSE(is_chunked(daemon.seen().back()));
    CHECK(daemon.seen().back().body == expected);
  }
  SUBCASE("what begins otherwise") {
    CHECK(engine.load_image({{"other", -1, 0, 0}}, {}, {}).error.empty());
    CHECK(daemon.seen().back().body == "other");
    CHECK(loads());
    CHECK(is_chunked(daemon.seen().back()));
  }
  SUBCASE("after a restart of the daemon") {
    daemon.drop_connections();
    CHECK(loads());
    CHECK(daemon.seen().back().body == expected);
  }
  SUBCASE("that nobody came for") {
    engine.end_prepared_load(std::chrono::hours(1));
    engine.end_prepared_load(std::chrono::seconds(0));
    CHECK(loads());
    CHECK_FALSE(is_chunked(daemon.seen().back()));
  }
  SUBCASE("a newer engine, which gains nothing by it") {
    engine.end_prepared_load(std::chrono::seconds(0));
    daemon.set_api("1.43");
    daemon.drop_connections();
    Engine newer(daemon.endpoint());
    newer.prepare_load("begin");
    CHECK(newer.load_image(segments, {}, {}).error.empty());
    CHECK_FALSE(is_chunked(daemon.seen().back()));
  }
  SUBCASE("an error of the daemon, and of the file") {
    CHECK_THROWS_WITH_AS(engine.load_image({{"begin", -1, 0, 0}, {{}, file.fd(), 0, 300'001}}, {}, {}), doctest::Contains("the data ended"), ImageImportError);
    CHECK(loads());
  }
}

TEST_CASE("a load into a closed connection raises no SIGPIPE") {
  ::signal(SIGPIPE, SIG_DFL);
  const TemporaryFile file(std::string(64 << 20, 'x'));
  FakeDaemon daemon([&](auto&) {
    Answer answer;
    answer.close_before_body = true;
    return answer;
  });
  Engine engine(daemon.endpoint());
  for (int i = 0; i < 5; ++i) CHECK_THROWS_AS(engine.load_image({{{}, file.fd(), 0, 64 << 20}}, {}, {}), DockerConnectionError);
}
