#include <doctest/doctest.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runner/bridge.hpp"

using namespace riverbox;
using namespace riverbox::tunnel;
using riverbox::runner::Bridge;

namespace {

constexpr std::size_t kWindow = 1000;

// What the user of one end of a stream has seen of it.
struct Seen {
  std::string bytes, why;
  std::vector<std::string> datagrams;
  int opened = 0, ended = 0, closed = 0;
  std::size_t unconsumed = 0;
  std::string story() const { return bytes + (ended ? " end" : "") + (closed ? " closed:" + why : ""); }
};

StreamEvents watch(const std::shared_ptr<Seen>& seen) {
  return {.opened = [seen] { ++seen->opened; },
          .data = [seen](std::string_view bytes) { seen->bytes += bytes, seen->datagrams.emplace_back(bytes), seen->unconsumed += bytes.size(); },
          .end = [seen] { ++seen->ended; },
          .writable = {},
          .closed = [seen](const std::string& why) { ++seen->closed, seen->why = why; }};
}

// One end of a link in memory: what is sent waits until it is delivered.
class MemoryLink final : public Link {
public:
  void start(Events events) override { events_ = std::move(events); }
  void send(const Message& message) override { out.push_back(encode(message)); }
  std::size_t queued_bytes() const override { return 0; }
  void may_read(bool) override {}
  void close(const std::string&) override { std::exchange(events_, {}), gone = true; }
  bool deliver_to(MemoryLink& other) {
    if (out.empty()) return false;
    const std::string message = std::move(out.front());
    out.pop_front();
    if (const auto receive = other.events_.message) receive(message);
    return true;
  }
  void lose() {
    gone = true;
    if (const auto lost = std::exchange(events_, {}).closed) lost("cut");
  }
  std::deque<std::string> out;
  bool gone = false;

private:
  Events events_;
};

struct Line {
  std::shared_ptr<MemoryLink> near = std::make_shared<MemoryLink>(), far = std::make_shared<MemoryLink>();
  std::shared_ptr<Tunnel> asks = std::make_shared<Tunnel>(near), serves = std::make_shared<Tunnel>(far);
  void start(Mux::Requests requests, Mux::Greeting greeting) {
    const Hello hello{.window = kWindow};
    serves->start({Mux::Side::serves, Mux::Greeting::answer, hello}, std::move(requests), [](const std::string&) {});
    asks->start({Mux::Side::asks, greeting, hello}, {}, [](const std::string&) {});
  }
  bool pump() {
    const bool there = near->deliver_to(*far), back = far->deliver_to(*near);
    return there || back;
  }
};

// user --- line --- bridge --- line --- container
struct World {
  explicit World(Proto proto = Proto::tcp, Mux::Greeting user_greeting = Mux::Greeting::first) {
    Mux::Requests from_user;
    from_user.connect = [this, proto](StreamId id, Proto, std::uint16_t port) {
      const auto made = std::make_shared<Bridge>(proto);
      bridge = made;
      auto events = made->events(Bridge::container);
      events.opened = [this, id, then = std::move(events.opened)] {
        user.serves->mux().opened(id);
        then();
      };
      made->attach(Bridge::container, GateStream(container.asks, container.asks->mux().open(proto, port, std::move(events))));
      made->attach(Bridge::user, GateStream(user.serves, id));
      return made->events(Bridge::user);
    };
    Mux::Requests in_container;
    in_container.connect = [this](StreamId id, Proto, std::uint16_t) {
      inside_id = id;
      if (answers) container.serves->mux().opened(id);
      return watch(inside);
    };
    container.start(std::move(in_container), Mux::Greeting::first);
    user.start(std::move(from_user), user_greeting);
    settle();
    outside_id = user.asks->mux().open(proto, 80, watch(outside));
  }
  ~World() {
    for (const auto* line : {&user, &container})
      for (const auto& tunnel : {line->asks, line->serves}) tunnel->close("");
    CHECK(bridge.expired());  // nothing holds it but its streams
  }
  void settle() {
    for (bool more = true; more;) {
      const bool a = user.pump(), b = container.pump();
      more = a || b;
    }
  }
  Mux& user_mux() { return user.asks->mux(); }
  Mux& container_mux() { return container.serves->mux(); }

  Line user, container;
  std::weak_ptr<Bridge> bridge;
  std::shared_ptr<Seen> outside = std::make_shared<Seen>(), inside = std::make_shared<Seen>();
  StreamId outside_id = 0, inside_id = 0;
  bool answers = true;
};

// As much of it as there is room for.
std::size_t send_some(Mux& mux, StreamId id, std::string_view bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::size_t size = std::min(mux.room(id), bytes.size() - done);
    if (size == 0) break;
    mux.send(id, bytes.substr(done, size));
    done += size;
  }
  return done;
}

}  // namespace

TEST_CASE("a bridge: what goes in comes out, both ways, in order, and each side ends by itself") {
  World world;
  world.settle();
  REQUIRE(world.outside->opened == 1);
  send_some(world.user_mux(), world.outside_id, "one ");
  send_some(world.user_mux(), world.outside_id, "two");
  CHECK(world.user_mux().end(world.outside_id));
  world.settle();
  CHECK(world.inside->story() == "one two end");
  send_some(world.container_mux(), world.inside_id, "three");
  world.settle();
  CHECK(world.outside->bytes == "three");  // after the end of the other half
  CHECK_FALSE(world.outside->ended);
  CHECK(world.container_mux().end(world.inside_id) == false);
  world.settle();
  CHECK(world.outside->ended == 1);
  for (auto* mux : {&world.user_mux(), &world.user.serves->mux(), &world.container.asks->mux(), &world.container_mux()}) CHECK(mux->streams() == 0);
  CHECK(world.bridge.expired());
}

TEST_CASE("a bridge holds back who is not read, and not more than the windows") {
  World world;
  world.settle();
  std::string sent, more(10000, 'x');
  for (std::size_t i = 0; i < more.size(); ++i) more[i] = static_cast<char>('a' + i % 26);
  for (int turn = 0; turn < 100; ++turn) {
    sent += more.substr(sent.size(), send_some(world.user_mux(), world.outside_id, std::string_view(more).substr(sent.size())));
    world.settle();
  }
  CHECK(sent.size() <= 3 * kWindow);
  CHECK(sent.size() >= 2 * kWindow);
  CHECK(world.inside->bytes.size() == kWindow);
  for (int turn = 0; turn < 1000 && world.inside->bytes.size() < more.size(); ++turn) {
    world.container_mux().consumed(world.inside_id, std::exchange(world.inside->unconsumed, 0));
    world.settle();
    sent += more.substr(sent.size(), send_some(world.user_mux(), world.outside_id, std::string_view(more).substr(sent.size())));
    world.settle();
  }
  CHECK(world.inside->bytes == more);
}

TEST_CASE("an end in order lets what was sent before it arrive, however late it is read") {
  World world;
  world.settle();
  const std::string bytes(kWindow, 'x');
  for (int turn = 0; turn < 2; ++turn) {
    CHECK(send_some(world.user_mux(), world.outside_id, bytes) == bytes.size());
    world.settle();
  }
  world.user_mux().close(world.outside_id);
  world.settle();
  CHECK(world.inside->closed == 0);
  world.container_mux().consumed(world.inside_id, std::exchange(world.inside->unconsumed, 0));
  world.settle();
  CHECK(world.inside->bytes.size() == 2 * kWindow);
  CHECK(world.inside->closed == 1);
  CHECK(world.inside->why.empty());
  CHECK(world.container.asks->mux().streams() == 0);
}

TEST_CASE("what breaks on one side breaks on the other, and says why") {
  for (const bool inside_breaks : {true, false}) {
    World world;
    world.settle();
    if (inside_breaks) world.container_mux().close(world.inside_id, "out of order");
    else world.user_mux().close(world.outside_id, "out of order");
    world.settle();
    const auto& told = inside_breaks ? world.outside : world.inside;
    CHECK(told->closed == 1);
    CHECK(told->why == "out of order");
    CHECK(world.bridge.expired());
  }
}

TEST_CASE("a tunnel that is lost ends the streams that went on in the other") {
  for (const bool inside_is_lost : {true, false}) {
    World world;
    world.settle();
    (inside_is_lost ? world.container.near : world.user.far)->lose();
    world.settle();
    const auto& told = inside_is_lost ? world.outside : world.inside;
    CHECK(told->closed == 1);
    CHECK(told->why == "the tunnel was lost: cut");
    CHECK(world.bridge.expired());
  }
}

TEST_CASE("a classic client may speak before it is connected, and hang up: all of it arrives") {
  World world(Proto::tcp, Mux::Greeting::never);
  world.answers = false;
  const auto data = [&](std::string_view bytes) { world.user.near->out.push_back(encode({Type::data, Proto::tcp, world.outside_id, 0, bytes})); };
  data("early ");
  data("bird");
  world.user.near->out.push_back(encode({Type::close, Proto::tcp, world.outside_id, 0, {}}));
  world.settle();
  CHECK(world.inside->bytes.empty());
  world.container_mux().opened(world.inside_id);
  world.settle();
  CHECK(world.inside->story() == "early bird closed:");
  CHECK(world.container.asks->mux().streams() == 0);
}

TEST_CASE("datagrams stay datagrams") {
  World world(Proto::udp);
  world.settle();
  for (const char* datagram : {"one", "", "three"}) world.user_mux().send(world.outside_id, datagram);
  world.settle();
  CHECK(world.inside->datagrams == std::vector<std::string>{"one", "", "three"});
  world.container_mux().send(world.inside_id, "back");
  world.settle();
  CHECK(world.outside->datagrams == std::vector<std::string>{"back"});
  world.user_mux().close(world.outside_id);
  world.settle();
  CHECK(world.inside->closed == 1);
}
