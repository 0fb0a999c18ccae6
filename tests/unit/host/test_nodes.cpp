#include <doctest/doctest.h>

#include "host/nodes.hpp"
#include "store/event_repository.hpp"
#include "tasks_fixture.hpp"

using namespace riverbox;
using namespace riverbox::host;
using namespace std::chrono_literals;

TEST_CASE("a node that comes or goes is told of, once, however one learns of it") {
  store::Database database{":memory:", store::kHostMigrations};
  store::NodeRepository repository{database};
  store::EventRepository events{database};
  std::chrono::steady_clock::time_point now{};
  Nodes nodes(repository, 5s, 6, Clock{.steady = [&] { return now; }});
  const auto told = [&] {
    std::vector<std::string> out;
    for (const auto& event : events.list({.types = {"node"}})) out.push_back(event.action);
    return out;
  };
  NodeDescription description;
  description.hostname = "n1";
  const auto link = std::make_shared<test::RecordingLink>();
  using Actions = std::vector<std::string>;
  nodes.note_silence();
  CHECK(told().empty());
  nodes.connect(description, link);
  now += 29s;
  nodes.note_silence();
  CHECK(told() == Actions{"online"});
  now += 2s;
  nodes.note_silence();
  nodes.note_silence();
  CHECK(told() == Actions{"online", "offline"});
  CHECK(nodes.heartbeat("n1", link.get(), {}, {}));
  CHECK_FALSE(nodes.heartbeat("n1", link.get(), {}, {}));
  CHECK(told() == Actions{"online", "offline", "online"});
  now += 11s;
  const auto another = std::make_shared<test::RecordingLink>();
  nodes.connect(description, another);  // takes the place of a link that is silent: it was online all the time
  nodes.disconnect("n1", link.get());
  CHECK(told() == Actions{"online", "offline", "online"});
  nodes.disconnect("n1", another.get());
  nodes.disconnect("n1", another.get());
  now += 1h;
  nodes.note_silence();
  CHECK(told() == Actions{"online", "offline", "online", "offline"});
  Nodes restarted(repository, 5s, 6);
  restarted.note_silence();
  CHECK(told().size() == 4);
  restarted.connect(description, link);
  CHECK(told().size() == 5);
}
