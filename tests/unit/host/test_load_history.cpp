#include <doctest/doctest.h>

#include <limits>

#include "host/load_history.hpp"
#include "host/nodes.hpp"
#include "tasks_fixture.hpp"

using namespace riverbox;
using namespace riverbox::host;
using namespace std::chrono_literals;

namespace {

constexpr auto kNo = LoadHistory::kNothing;
constexpr LoadHistory::Minute kSilent{kNo, kNo, kNo, kNo};
constexpr std::int64_t kNow = 29'750'000;  // a minute

struct Heard {
  store::Database database{":memory:", store::kHostMigrations};
  store::NodeRepository repository{database};
  WallTime now{std::chrono::minutes(kNow)};
  Nodes nodes{repository, 5s, 6, Clock{.wall = [this] { return now; }}};
  std::map<std::string, std::shared_ptr<test::RecordingLink>> links;
  void join(const std::string& name) {
    NodeDescription description;
    description.hostname = name;
    nodes.connect(description, links[name] = std::make_shared<test::RecordingLink>());
  }
  void beat(const std::string& name, double cpu, std::vector<os::Gpu> gpus = {}) { nodes.heartbeat(name, links[name].get(), {.cpu_percent = cpu, .memory_percent = 50}, std::move(gpus), 3); }
};

}  // namespace

TEST_CASE("of each minute the mean is kept, in tenths, of each value those that were told") {
  LoadHistory history;
  CHECK_FALSE(history.span());
  CHECK(history.at(kNow) == kSilent);
  history.add(kNow, {10.0, 20.0, std::nullopt, 4});
  history.add(kNow, {11.0, 20.1, 50.0, 5});
  history.add(kNow, {12.26, 20.2, std::nullopt, 5});
  CHECK(history.at(kNow) == LoadHistory::Minute{111, 201, 500, 47});
  history.add(kNow + 1, {1.0, 2.0, std::nullopt, 0});
  CHECK(history.at(kNow) == LoadHistory::Minute{111, 201, 500, 47});
  CHECK(history.at(kNow + 1) == LoadHistory::Minute{10, 20, kNo, 0});
}

TEST_CASE("minutes without a word are empty, and what is a day old is gone") {
  LoadHistory history;
  history.add(kNow, {1.0, 1.0, 1.0, 1});
  history.add(kNow + 3, {3.0, 3.0, 3.0, 3});
  CHECK(history.at(kNow + 1) == kSilent);
  CHECK(history.at(kNow + 2) == kSilent);
  CHECK(history.at(kNow + 3)[0] == 30);
  CHECK(history.at(kNow + 4) == kSilent);
  history.add(kNow + LoadHistory::kMinutes, {4.0, 4.0, 4.0, 4});
  CHECK(history.at(kNow) == kSilent);
  CHECK(history.at(kNow + 3)[0] == 30);
  CHECK(history.at(kNow + LoadHistory::kMinutes)[0] == 40);
  history.add(kNow + 5 * LoadHistory::kMinutes, {5.0, 5.0, 5.0, 5});
  CHECK(history.at(kNow + LoadHistory::kMinutes) == kSilent);
  CHECK(history.span()->first == history.span()->last);
}

TEST_CASE("a clock that is set back takes with it what was heard after that time") {
  LoadHistory history;
  for (std::int64_t i = 0; i < 5; ++i) history.add(kNow + i, {1.0, 1.0, 1.0, 1});
  history.add(kNow + 2, {2.0, 2.0, 2.0, 2});
  CHECK(history.at(kNow + 1)[0] == 10);
  CHECK(history.at(kNow + 2)[0] == 20);
  CHECK(history.at(kNow + 3) == kSilent);
  history.add(kNow - 100, {3.0, 3.0, 3.0, 3});
  CHECK(history.at(kNow - 100)[0] == 30);
  CHECK(history.at(kNow + 1) == kSilent);
  history.add(-5, {3.0, 3.0, 3.0, 3});
  CHECK(history.span()->last == kNow - 100);
}

TEST_CASE("no number that comes over a link does harm") {
  LoadHistory history;
  history.add(kNow, {-5.0, 1e300, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()});
  CHECK(history.at(kNow) == LoadHistory::Minute{0, kNo - 1, kNo, kNo});
}

TEST_CASE_FIXTURE(Heard, "the loads of all nodes are on the same minutes") {
  CHECK(nodes.loads(3h).nodes.empty());
  for (const char* name : {"n1", "n2", "silent"}) join(name);
  CHECK(nodes.loads(3h).nodes.empty());
  beat("n1", 10, {{.gpu_id = 0, .gpu_utilization = 20}, {.gpu_id = 1, .gpu_utilization = 41}, {.gpu_id = 2}});
  now += 2min;
  beat("n2", 20);
  now += 1min;
  auto loads = nodes.loads(3h);
  CHECK(loads.first_minute == kNow);
  REQUIRE(loads.nodes.size() == 2);
  using Minutes = std::vector<LoadHistory::Minute>;
  CHECK(loads.nodes["n1"] == Minutes{{100, 500, 305, 30}, kSilent, kSilent});  // nobody was heard in the minute that has just begun
  CHECK(loads.nodes["n2"] == Minutes{kSilent, kSilent, {200, 500, kNo, 30}});
  beat("n2", 30);
  CHECK(nodes.loads(3h).nodes["n1"].size() == 4);
  loads = nodes.loads(2min);
  CHECK(loads.first_minute == kNow + 2);
  CHECK(loads.nodes.size() == 1);
  CHECK(loads.nodes["n2"] == Minutes{{200, 500, kNo, 30}, {300, 500, kNo, 30}});
  nodes.disconnect("n2", links["n2"].get());
  nodes.remove("n2");
  CHECK(nodes.loads(3h).nodes.size() == 1);
}
