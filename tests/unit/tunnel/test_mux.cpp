#include <doctest/doctest.h>

#include "base/error.hpp"
#include "mux_fixture.hpp"

using namespace test;

namespace {
std::shared_ptr<Seen> seen() { return std::make_shared<Seen>(); }
std::string say(Type type, StreamId id, std::string_view payload = {}, Proto proto = Proto::tcp, std::uint16_t port = 0) { return encode(Message{type, proto, id, port, payload}); }
// Sends as much of it as there is room for.
std::size_t send_some(Mux& mux, StreamId id, std::string_view bytes) {
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const std::size_t size = std::min(mux.room(id), bytes.size() - sent);
    if (size == 0) break;
    mux.send(id, bytes.substr(sent, size));
    sent += size;
  }
  return sent;
}
}  // namespace

TEST_CASE("a stream is opened, carries bytes both ways, and ends when both have said so") {
  Pair pair;
  const auto user = seen();
  const StreamId id = pair.open(user, 8080);
  CHECK(pair.asks.mux->room(id) == 0);
  pair.settle();
  CHECK(!pair.asks.mux->classic());
  CHECK(!pair.serves.mux->classic());
  CHECK(pair.ports == std::vector<std::uint16_t>{8080});
  CHECK(user->opened == 1);
  pair.asks.mux->send(id, "question");
  CHECK(pair.asks.mux->end(id));
  CHECK(pair.asks.mux->room(id) == 0);
  pair.settle();
  const auto& server = *pair.served[id];
  CHECK(server.bytes == "question");
  CHECK(server.ended == 1);
  pair.serves.mux->send(id, "answer");
  CHECK(!pair.serves.mux->end(id));
  CHECK(pair.serves.mux->streams() == 0);
  pair.settle();
  CHECK(user->story() == "opened answer end ");
  CHECK(server.closed == 0);
  CHECK(pair.asks.mux->streams() == 0);
}

TEST_CASE("a port where nobody listens is refused, with the reason") {
  Pair pair;
  const auto user = seen();
  pair.open(user, 1);
  pair.settle();
  CHECK(user->story() == "closed:connection refused");
  CHECK(pair.asks.mux->streams() == 0);
  CHECK(pair.serves.mux->streams() == 0);
}

TEST_CASE("what breaks off is told to the other side, with the reason or without") {
  Pair pair;
  const auto one = seen(), other = seen();
  const StreamId first = pair.open(one), second = pair.open(other);
  pair.settle();
  pair.serves.mux->close(first, "connection reset");
  pair.asks.mux->close(second);
  pair.settle();
  CHECK(one->why == "connection reset");
  CHECK(one->closed == 1);
  CHECK(other->closed == 0);
  CHECK(pair.served[second]->closed == 1);
  CHECK(pair.served[second]->why == "");
  CHECK(pair.asks.mux->streams() + pair.serves.mux->streams() == 0);
}

TEST_CASE("nobody sends more than the window, and a reader that stops does not stop the others") {
  Hello hello;
  hello.window = 100000;
  Pair pair(Mux::Greeting::first, Mux::Greeting::first, hello);
  const auto slow = seen(), quick = seen();
  const StreamId stopped = pair.open(slow), other = pair.open(quick);
  pair.settle();
  const std::string much(150000, 's');
  CHECK(send_some(*pair.serves.mux, stopped, much) == 100000);
  pair.settle();
  CHECK(slow->bytes.size() == 100000);
  CHECK(pair.serves.mux->room(stopped) == 0);
  std::size_t sent = 0;
  for (int i = 0; i < 100; ++i) {
    sent += send_some(*pair.serves.mux, other, std::string(90000, 'q'));
    pair.settle();
    pair.asks.mux->consumed(other, std::exchange(quick->unconsumed, 0));
    pair.settle();
  }
  CHECK(sent == 9000000);
  CHECK(quick->bytes == std::string(9000000, 'q'));
  CHECK(slow->bytes.size() == 100000);
  CHECK(pair.asks.may_read);
  pair.asks.mux->consumed(stopped, 60000);
  pair.settle();
  CHECK(pair.served[stopped]->writable == 1);
  CHECK(send_some(*pair.serves.mux, stopped, std::string_view(much).substr(100000)) == 50000);
  pair.settle();
  CHECK(slow->bytes == much);
}

TEST_CASE("while the link is full nobody sends, then all get their turn") {
  Pair pair;
  std::vector<std::shared_ptr<Seen>> users;
  std::vector<StreamId> ids;
  for (int i = 0; i < 10; ++i) ids.push_back(pair.open(users.emplace_back(seen())));
  pair.settle();
  std::size_t sent = 0;
  for (const StreamId id : ids) sent += send_some(*pair.asks.mux, id, std::string(200000, 'x'));
  CHECK(pair.asks.queued < Mux::kQueueBytes + kMaxMessageBytes);
  CHECK(sent < Mux::kQueueBytes + kMaxPayloadBytes);
  pair.settle();
  for (size_t i = 0; i < ids.size(); ++i) CHECK(users[i]->writable == (i == 0 ? 0 : 1));
  CHECK(pair.asks.mux->room(ids[5]) > 0);
}

TEST_CASE("UDP: datagrams keep their borders, need no window, and are dropped when the link is full") {
  Hello hello;
  hello.window = 1;
  Pair pair(Mux::Greeting::first, Mux::Greeting::first, hello);
  const auto user = seen();
  const StreamId id = pair.open(user, 53, Proto::udp);
  pair.settle();
  for (const char* datagram : {"one", "", "three"}) pair.asks.mux->send(id, datagram);
  pair.settle();
  CHECK(pair.served[id]->datagrams == std::vector<std::string>{"one", "", "three"});
  for (int i = 0; i < 1000; ++i) pair.asks.mux->send(id, std::string(10000, 'u'));
  CHECK(pair.asks.queued < Mux::kQueueBytes + kMaxMessageBytes);
  pair.settle();
  CHECK(pair.served[id]->datagrams.size() < 40);
  CHECK(!pair.asks.mux->end(id));
  pair.settle();
  CHECK(pair.served[id]->closed == 1);
}

TEST_CASE("ports are listened on, who connects there becomes a stream, and unlisten ends that") {
  Pair pair;
  std::uint16_t port = 0;
  std::string refused;
  StreamId accepted = 0;
  const auto user = seen(), caller = seen();
  pair.settle();
  const Mux::ListenEvents events{[&](std::uint16_t p) { port = p; },
                                 [&](StreamId id) {
                                   accepted = id;
                                   pair.asks.mux->opened(id);
                                   return watch(user);
                                 },
                                 [&](const std::string& why) { refused = why; }};
  const StreamId listener = pair.asks.mux->listen(0, events);
  pair.asks.mux->listen(1, events);
  pair.settle();
  CHECK(port == 4711);
  CHECK(refused == "port is in use");
  const StreamId id = pair.serves.mux->accept(listener, port, watch(caller));
  CHECK((id & 0x80000000) != 0);
  pair.settle();
  CHECK(accepted == id);
  CHECK(caller->opened == 1);
  pair.serves.mux->send(id, "hello");
  pair.asks.mux->send(id, "you");
  pair.settle();
  CHECK(user->bytes == "hello");
  CHECK(caller->bytes == "you");
  pair.asks.mux->unlisten(listener);
  const auto late = seen();
  const StreamId missed = pair.serves.mux->accept(listener, port, watch(late));
  CHECK(missed != 0);
  pair.settle();
  CHECK(late->why == "nobody listens there any more");
  CHECK(pair.serves.mux->accept(listener, port, watch(late)) == 0);
  CHECK(pair.serves.mux->streams() == 1);
}

TEST_CASE("there are 1024 streams at most, and one is free again when one has ended") {
  Pair pair;
  std::vector<StreamId> ids;
  for (int i = 0; i < 1024; ++i) ids.push_back(pair.open(seen()));
  CHECK_THROWS_AS(pair.open(seen()), Conflict);
  pair.settle();
  pair.asks.mux->close(ids[0]);
  const StreamId next = pair.open(seen());
  CHECK(next == ids.back() + 1);
  pair.settle();
  CHECK(pair.serves.mux->streams() == 1024);
  // A peer that does not count.
  pair.serves.mux->receive(say(Type::connect, 5000, {}, Proto::tcp, 80));
  CHECK(parse(pair.serves.out.back())->type == Type::error);
  CHECK(pair.serves.mux->streams() == 1024);
}

TEST_CASE("a lost tunnel ends all streams with the reason, once, and nothing can be opened any more") {
  Pair pair;
  const auto user = seen();
  std::string lost;
  const StreamId id = pair.open(user);
  pair.settle();
  pair.asks.mux->listen(5, {{}, {}, [&](const std::string& why) { lost = why; }});
  pair.asks.mux->lost("killed");
  pair.asks.mux->lost("again");
  CHECK(user->closed == 1);
  CHECK(user->why == "killed");
  CHECK(lost == "killed");
  CHECK(pair.asks.mux->room(id) == 0);
  CHECK_THROWS_AS(pair.open(seen()), Unavailable);
}

TEST_CASE("a tunnel tells why it is closed") {
  Pair pair;
  pair.settle();
  pair.asks.mux->farewell("a newer one came");
  pair.settle();
  CHECK(pair.farewell == "a newer one came");
}

TEST_CASE("a classic peer is recognised by its first message, and spoken to in its dialect") {
  Pair pair(Mux::Greeting::first, Mux::Greeting::never);
  const auto user = seen();
  const StreamId id = pair.open(user);
  pair.settle();
  CHECK(pair.asks.mux->classic());
  CHECK(user->opened == 1);
  CHECK_THROWS_AS(pair.asks.mux->listen(80, {}), Unavailable);
  pair.asks.mux->send(id, "question");
  pair.settle();
  CHECK(pair.served[id]->bytes == "question");
  pair.serves.mux->send(id, "answer");
  CHECK(!pair.serves.mux->end(id));  // CLOSE is all that it can say
  pair.settle();
  CHECK(user->story() == "opened answer closed:");
  CHECK(pair.asks.mux->streams() + pair.serves.mux->streams() == 0);
}

TEST_CASE("who answers HELLO waits for it, and is classic without") {
  {
    Pair pair(Mux::Greeting::first, Mux::Greeting::answer);
    CHECK(pair.serves.out.empty());
    pair.settle();
    CHECK(!pair.asks.mux->classic());
    CHECK(!pair.serves.mux->classic());
  }
  Pair pair(Mux::Greeting::never, Mux::Greeting::answer);
  const auto user = seen();
  const StreamId id = pair.open(user);
  pair.asks.mux->send(id, "too early: it is not sent");
  pair.settle();
  CHECK(pair.serves.mux->greeted());
  CHECK(pair.serves.mux->classic());
  pair.asks.mux->send(id, "x");
  pair.settle();
  CHECK(pair.served[id]->bytes == "x");
}

TEST_CASE("a stream of a classic peer that is not read stops the tunnel, and only for as long") {
  Pair pair(Mux::Greeting::never, Mux::Greeting::never);
  const auto user = seen();
  const StreamId id = pair.open(user);
  pair.settle();
  for (int i = 0; i < 17; ++i) {
    CHECK(pair.asks.may_read);
    send_some(*pair.serves.mux, id, std::string(65536, 'c'));
    pair.settle();
  }
  CHECK(!pair.asks.may_read);
  pair.asks.mux->consumed(id, 400 << 10);
  CHECK(!pair.asks.may_read);
  pair.asks.mux->consumed(id, 200 << 10);
  CHECK(pair.asks.may_read);
}

TEST_CASE("a classic peer that asks twice is not answered twice, and PING is") {
  Pair pair(Mux::Greeting::never, Mux::Greeting::never);
  pair.open(seen());
  pair.settle();
  pair.serves.mux->receive(say(Type::connect, 1, {}, Proto::tcp, 80));
  CHECK(pair.serves.out.empty());
  pair.serves.mux->receive(say(Type::ping, 0, "abc"));
  REQUIRE(pair.serves.out.size() == 1);
  CHECK(pair.serves.out[0] == say(Type::pong, 0, "abc"));
  pair.serves.mux->receive(say(static_cast<Type>(99), 0));
  pair.serves.mux->receive(say(Type::hello, 0, encode(Hello())));
  CHECK(pair.serves.out.size() == 1);
}

TEST_CASE("who asks and does not take the answers is not read any more") {
  Pair pair;
  pair.settle();
  for (int i = 0; i < 9000 && pair.serves.may_read; ++i) pair.serves.mux->receive(say(Type::ping, 0, std::string(125, 'p')));
  CHECK(!pair.serves.may_read);
  CHECK(pair.serves.queued < Mux::kOverfullBytes + 200);
  pair.settle();
  CHECK(pair.serves.may_read);
}

TEST_CASE("what makes no sense ends the stream that it is about, or the tunnel") {
  Pair pair;
  const auto user = seen();
  const StreamId id = pair.open(user);
  SUBCASE("data before the connection") {
    pair.serves.deliver_to(pair.asks);
    pair.asks.mux->receive(say(Type::data, id, "x"));
    CHECK(user->closed == 1);
    CHECK(user->bytes == "");
  }
  pair.settle();
  SUBCASE("more than the window") {
    for (int i = 0; i < 4; ++i) pair.asks.mux->receive(say(Type::data, id, std::string(65536, 'x')));
    CHECK(user->closed == 0);
    pair.asks.mux->receive(say(Type::data, id, "x"));
    CHECK(user->closed == 1);
    CHECK(user->bytes.size() == 4 * 65536);
  }
  SUBCASE("data after the end") {
    pair.asks.mux->receive(say(Type::eof, id));
    pair.asks.mux->receive(say(Type::data, id, "x"));
    CHECK(user->closed == 1);
    CHECK(user->bytes == "");
  }
  SUBCASE("an end after the end") {
    pair.asks.mux->receive(say(Type::eof, id));
    pair.asks.mux->receive(say(Type::eof, id));
    CHECK(user->closed == 1);
  }
  SUBCASE("a window that is too wide, or none") {
    pair.asks.mux->receive(say(Type::window, id, pair.ports.empty() ? "" : "abc"));
    CHECK(user->closed == 1);
    const auto other = seen();
    const StreamId another = pair.open(other);
    pair.settle();
    pair.asks.mux->receive(say(Type::window, another, encode_u32(UINT32_MAX)));
    CHECK(other->closed == 1);
  }
  SUBCASE("the tunnel ends over") {
    CHECK_THROWS_AS(pair.asks.mux->receive("short"), BadData);
    CHECK_THROWS_AS(pair.asks.mux->receive(say(Type::hello, 0, encode(Hello()))), BadData);
    CHECK_THROWS_AS(pair.asks.mux->receive(say(Type::connect, 77)), BadData);
    CHECK_THROWS_AS(pair.asks.mux->receive(say(Type::accept, 77, encode_u32(1))), BadData);
    CHECK_THROWS_AS(pair.serves.mux->receive(say(Type::connect, id)), BadData);
    CHECK_THROWS_AS(pair.serves.mux->receive(say(Type::connect, 0)), BadData);
    CHECK_THROWS_AS(pair.serves.mux->receive(say(Type::connect, 0x80000001)), BadData);
    CHECK_THROWS_AS(pair.serves.mux->receive(say(Type::listen, id)), BadData);
    CHECK_THROWS_AS(pair.serves.mux->receive(say(Type::accept, 0x80000001, encode_u32(1))), BadData);
  }
  SUBCASE("nothing ends over") {
    for (const Type type : {Type::data, Type::close, Type::error, Type::connected, Type::window, Type::eof}) pair.asks.mux->receive(say(type, 12345, "x"));
    pair.asks.mux->receive(say(Type::data, id, ""));
    pair.asks.mux->receive(say(Type::connected, id));
    pair.asks.mux->receive(say(static_cast<Type>(200), id, "x"));
    CHECK(user->story() == "opened ");
    CHECK(pair.asks.mux->streams() == 1);
  }
}
