#include <doctest/doctest.h>

#include "runner/backoff.hpp"
#include "runner/outcome.hpp"

using namespace riverbox;
using namespace riverbox::runner;

namespace {

docker::ContainerState ended(int code) {
  docker::ContainerState state;
  state.status = "exited";
  state.exit_code = code;
  return state;
}

}  // namespace

TEST_CASE("how a task ended") {
  CHECK(judge(ended(0), false) == std::pair{TaskState::completed, std::string()});
  CHECK(judge(ended(3), false).first == TaskState::failed);
  CHECK(judge(ended(3), false).second == "Exit code 3.");
  CHECK(judge(ended(127), false).second.find("not found") != std::string::npos);
  CHECK(judge(ended(143), false).second.find("SIGTERM") != std::string::npos);
  CHECK(judge(ended(0), true).first == TaskState::killed);  // it may end well after SIGTERM
  CHECK(judge(ended(143), true).first == TaskState::killed);

  CHECK(judge(ended(127), false, false).second.find("on the node") != std::string::npos);
  CHECK(judge(ended(255), false, false).second.find("Docker") == std::string::npos);
  CHECK(judge(ended(137), false, false).second.find("docker") == std::string::npos);

  auto oom = ended(137);
  oom.oom_killed = true;
  CHECK(judge(oom, false).first == TaskState::killed_oom);
  oom.exit_code = 0;  // only a child was killed
  CHECK(judge(oom, false).first == TaskState::completed);
}

TEST_CASE("progress says how far and how much") {
  CHECK(progress_text("loading", 640'000'000, 1'500'000'000) == "loading 42 % (640.0 MB of 1.5 GB)");
  CHECK(progress_text("loading", 2, 1) == "loading 100 % (2 B of 1 B)");
  CHECK(progress_text("verifying", 0, 0) == "verifying");
  CHECK(progress_text("loading", 17, 0) == "loading (17 B)");
}

TEST_CASE("sentences are joined with one blank") {
  CHECK(join_sentences("A.", "B.") == "A. B.");
  CHECK(join_sentences("", "B.") == "B.");
  CHECK(join_sentences("A.", "") == "A.");
}

TEST_CASE("the back-off doubles from 0.2 s to 5 s, with jitter, and begins again") {
  double random = 0.999999;
  Backoff backoff([&] { return random; });
  auto about = [](Backoff::Milliseconds got, int wanted) { return got.count() <= wanted && got.count() >= wanted - 1; };
  for (int wanted : {200, 400, 800, 1600, 3200, 5000, 5000, 5000}) CHECK(about(backoff.next(), wanted));
  backoff.reset();
  random = 0;
  CHECK(backoff.next().count() == 100);  // half of the step at least
}
