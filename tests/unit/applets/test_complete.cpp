#include "applets/complete.hpp"
#include "support.hpp"

using namespace riverbox::applets;
using Words = std::vector<std::string>;

namespace {
// Names that say what was asked for.
Words fake_live(const std::string& kind, const Resolution&) { return {kind + "-1", kind + "-2", "other"}; }
Words complete(const Words& words) { return candidates(kTestTable, words, fake_live); }
Words without_network(const std::string&, const Resolution&) {
  FAIL("asked the host");
  return {};
}
}  // namespace

TEST_CASE("applets, without the hidden ones") {
  CHECK(complete({"do"}) == Words{"docker", "docker-shell"});
  CHECK(complete({"_"}) == Words{});
  CHECK(complete({}) == Words{});
}

TEST_CASE("subcommands and options need no host") {
  CHECK(candidates(kTestTable, {"docker", "list-"}, without_network) == Words{"list-containers", "list-tars"});
  CHECK(candidates(kTestTable, {"docker", "--config", "f", "list-t"}, without_network) == Words{"list-tars"});
  CHECK(candidates(kTestTable, {"hakuriver.docker", "stop"}, without_network) == Words{"stop-container"});
  CHECK(candidates(kTestTable, {"docker", "list-tars", "--j"}, without_network) == Words{"--json"});
  CHECK(candidates(kTestTable, {"docker", "create-container", ""}, without_network) == Words{});
  CHECK(candidates(kTestTable, {"docker", "--config", ""}, without_network) == Words{});  // files: the shell's work
  CHECK(candidates(kTestTable, {"docker", "bogus", ""}, without_network) == Words{});
  CHECK(candidates(kTestTable, {"nothing", ""}, without_network) == Words{});
}

TEST_CASE("live names") {
  CHECK(complete({"docker", "stop-container", ""}) == Words{"containers-1", "containers-2", "other"});
  CHECK(complete({"docker", "stop-container", "cont"}) == Words{"containers-1", "containers-2"});
  CHECK(complete({"docker", "stop-container", "x", ""}) == Words{});  // it takes one name
  CHECK(complete({"docker", "diff", "x", ""}) == Words{"versions-1", "versions-2", "other"});
  CHECK(complete({"docker", "diff", "x", "y", "v"}) == Words{"versions-1", "versions-2"});
  CHECK(complete({"docker", "delete-tar", "--force", "x", "o"}) == Words{"other"});
  CHECK(complete({"docker", "verify", "env"}) == Words{"environments-1", "environments-2"});
  CHECK(complete({"docker-shell", "o"}) == Words{"other"});
  CHECK(complete({"client", "--container", "env"}) == Words{"environments-1", "environments-2"});
  CHECK(complete({"client", "--container=env"}) == Words{"--container=environments-1", "--container=environments-2"});
  CHECK(complete({"client", "--target", "node"}) == Words{"nodes-1", "nodes-2"});
  CHECK(complete({"client", "logs", "-f", "t"}) == Words{"tasks-1", "tasks-2"});
  CHECK(complete({"client", "command", "12", "p"}) == Words{"pause"});
  CHECK(complete({"task", "list", "--status", "kill"}) == Words{"killed", "killed_oom"});
}

TEST_CASE("the task's own words are not ours") {
  CHECK(complete({"client", "--", "n"}) == Words{});
  CHECK(complete({"client", "--wait", "python", "--"}) == Words{});
}
