#include <doctest/doctest.h>

#include "base/json.hpp"
#include "docker/errors.hpp"
#include "docker/progress.hpp"
#include "docker/stream.hpp"
#include "fake_daemon.hpp"

using namespace riverbox;
using namespace riverbox::docker;
using namespace riverbox::docker::test;

namespace {

std::vector<std::string> lines_of(std::vector<std::string> pieces) {
  std::vector<std::string> result;
  JsonLines lines("test", [&](const nlohmann::json& line) { result.push_back(line.dump()); });
  for (auto& piece : pieces) lines.feed(piece);
  lines.finish();
  return result;
}

}  // namespace

TEST_CASE("multiplexed output is taken apart wherever the transport splits it") {
  const std::string all = frame(1, "out one\n") + frame(2, "err") + frame(1, "") + frame(2, std::string(300, 'x')) + frame(1, "end");
  for (size_t first = 0; first <= all.size(); ++first) {
    for (size_t step : {size_t(1), all.size()}) {
      Demux demux;
      std::string out, err;
      auto sink = [&](bool is_stderr, std::string_view bytes) { (is_stderr ? err : out) += bytes; };
      demux.feed(std::string_view(all).substr(0, first), sink);
      for (size_t at = first; at < all.size(); at += step) demux.feed(std::string_view(all).substr(at, step), sink);
      REQUIRE(out == "out one\nend");
      REQUIRE(err == "err" + std::string(300, 'x'));
      REQUIRE(demux.at_frame_boundary());
    }
  }
}

TEST_CASE("a cut frame is noticed and a stream that is none is refused") {
  Demux demux;
  auto nothing = [](bool, std::string_view) {};
  demux.feed(frame(1, "abc").substr(0, 9), nothing);
  CHECK_FALSE(demux.at_frame_boundary());
  CHECK_THROWS_AS(Demux().feed("root@box:/# ", nothing), DockerError);
}

TEST_CASE("progress lines arrive whole wherever they are split") {
  const std::string all = "{\"a\":1}\r\n\r\n{\"b\":\"x\\ny\"}\n{\"c\":3}";
  const std::vector<std::string> wanted{"{\"a\":1}", "{\"b\":\"x\\ny\"}", "{\"c\":3}"};
  CHECK(lines_of({all}) == wanted);
  for (size_t first = 0; first <= all.size(); ++first)
    for (size_t second = first; second <= all.size(); ++second)
      REQUIRE(lines_of({all.substr(0, first), all.substr(first, second - first), all.substr(second)}) == wanted);
}

TEST_CASE("a progress stream that is not JSON is an error that shows what came") {
  CHECK_THROWS_WITH_AS(lines_of({"<html>nginx</html>\n"}), doctest::Contains("<html>nginx"), DockerError);
  CHECK_THROWS_AS(lines_of({"[1]\n"}), DockerError);
  CHECK_THROWS_AS(lines_of({std::string(2 << 20, 'x')}), DockerError);
}

TEST_CASE("the progress of a pull is the sum over its layers") {
  PullTracker tracker;
  PullProgress last;
  auto feed = [&](const char* line) { tracker.line(nlohmann::json::parse(line), [&](const PullProgress& p) { last = p; }); };
  feed(R"({"status":"Pulling from library/x","id":"latest"})");
  feed(R"({"status":"Pulling fs layer","progressDetail":{},"id":"a"})");
  feed(R"({"status":"Pulling fs layer","progressDetail":{},"id":"b"})");
  feed(R"({"status":"Already exists","progressDetail":{},"id":"c"})");
  feed(R"({"status":"Downloading","progressDetail":{"current":10,"total":100},"id":"a"})");
  CHECK(last.current_bytes == 10);
  CHECK(last.total_bytes == 0);  // b has told no size
  feed(R"({"status":"Downloading","progressDetail":{"current":50,"total":200},"id":"b"})");
  CHECK(last.step == "Downloading");
  CHECK(last.current_bytes == 60);
  CHECK(last.total_bytes == 300);
  feed(R"({"status":"Download complete","progressDetail":{},"id":"b"})");
  CHECK(last.current_bytes == 210);
  feed(R"({"status":"Extracting","progressDetail":{"current":1,"units":"s"},"id":"b"})");
  feed(R"({"status":"Download complete","progressDetail":{},"id":"a"})");
  feed(R"({"status":"Extracting","progressDetail":{"current":30,"total":100},"id":"a"})");
  CHECK(last.step == "Extracting");
  CHECK(last.current_bytes == 30);
  CHECK(last.total_bytes == 300);
  feed(R"({"status":"Pull complete","progressDetail":{},"id":"a"})");
  feed(R"({"status":"Pull complete","progressDetail":{},"id":"b"})");
  CHECK(last.current_bytes == last.total_bytes);
  CHECK(tracker.error().empty());
  feed(R"({"errorDetail":{"message":"boom"},"error":"boom"})");
  CHECK(tracker.error() == "boom");
}

// fault: load-says-ok
TEST_CASE("a load that answers 200 may have failed, in three ways") {
  auto load = [](std::vector<std::string> lines) {
    LoadTracker tracker;
    for (auto& line : lines) tracker.line(nlohmann::json::parse(line));
    return tracker.result();
  };
  auto good = load({R"({"stream":"Loaded image: a/b:base\n"})", R"({"stream":"Loaded image ID: sha256:12\n"})"});
  CHECK(good.loaded == std::vector<std::string>{"a/b:base", "sha256:12"});
  CHECK(good.error.empty());
  CHECK(load({R"({"errorDetail":{"message":"open x: no such file or directory"},"error":"open x"})"}).error ==
        "open x: no such file or directory");
  CHECK(load({R"({"error":"old style"})"}).error == "old style");
  auto unpack = load({R"({"stream":"Loaded image: nd/env:v2\n"})", R"({"stream":"Error unpacking image nd/env:v2: apply layer error\n"})"});
  CHECK(unpack.error.starts_with("Error unpacking image nd/env:v2"));
}
