// A tunnel over a WebSocket: with a runner of the reference, and with one of ours.
#include <doctest/doctest.h>

#include "base/error.hpp"
#include "gate_fixture.hpp"
#include "net/server.hpp"

using namespace test;

namespace {

struct Runner {
  explicit Runner(GateWorld& world, std::function<void(std::shared_ptr<net::WebSocket>, const net::Request&)> opened) {
    net::ServerOptions options;
    options.bind_address = "127.0.0.1";
    options.port = 0;
    server.emplace(world.loop, options,
                   net::Handlers{[](net::Request, std::shared_ptr<net::Responder>) {},
                                 [opened = std::move(opened), this](const net::Request& request) -> std::variant<net::Response, net::Accept> {
                                   net::Accept accept;
                                   if (ours) accept.subprotocol = kSubprotocol;
                                   accept.opened = [opened, request](std::shared_ptr<net::WebSocket> socket) { opened(std::move(socket), request); };
                                   return accept;
                                 }});
    client.emplace(world.loop, ClientOptions{.socket = {}, .runner_url = "ws://127.0.0.1:" + std::to_string(server->port()), .container_id = "vps-1", .reconnect_delay = 100ms});
    client->start([] {});
  }
  bool ours = false;
  std::optional<net::Server> server;
  std::optional<Client> client;
};

std::string classic(Type type, StreamId id, std::string_view payload = {}, std::uint16_t port = 0) { return encode(Message{type, Proto::tcp, id, port, payload}); }

}  // namespace

TEST_CASE("a runner of the reference is served in its dialect") {
  GateWorld world(false);
  TcpServer server(echo);
  std::shared_ptr<net::WebSocket> socket;
  std::vector<std::string> heard;
  std::string path;
  Runner runner(world, [&](std::shared_ptr<net::WebSocket> opened, const net::Request& request) {
    path = request.path;
    socket = std::move(opened);
    socket->start({[&](std::string_view data, bool binary) { heard.push_back((binary ? "" : "text:") + std::string(data)); }, [&](std::uint16_t, std::string_view) { socket.reset(); }, {}});
  });
  REQUIRE(world.eventually([&] { return socket != nullptr; }));
  CHECK(path == "/ws/tunnel/vps-1");
  world.run_for(50ms);
  CHECK(heard.empty());  // it knows no HELLO
  socket->send(classic(Type::connect, 1, {}, server.port), true);
  REQUIRE(world.eventually([&] { return heard.size() == 1; }));
  CHECK(heard[0] == classic(Type::connected, 1));
  const std::string data = random_bytes(65536, 1);
  socket->send(classic(Type::data, 1, data), true);
  std::string got;
  CHECK(world.eventually([&] {
    got.clear();
    for (size_t i = 1; i < heard.size(); ++i) got += parse(heard[i])->payload;
    return got.size() == data.size();
  }));
  CHECK(got == data);
  heard.clear();
  socket->send(classic(Type::connect, 1, {}, server.port), true);  // again: not answered
  socket->send(classic(Type::ping, 0, "x"), true);
  socket->send(classic(Type::connect, 2, {}, 1), true);
  REQUIRE(world.eventually([&] { return heard.size() == 2; }));
  CHECK(heard[0] == classic(Type::pong, 0, "x"));
  CHECK(parse(heard[1])->type == Type::error);
  socket->send(classic(Type::close, 1), true);
  socket->send("text is nothing", false);
  // The connection is dialled again when it is lost.
  socket->send("short", true);
  CHECK(world.eventually([&] { return socket == nullptr; }));
  CHECK(world.eventually([&] { return socket != nullptr; }));
  runner.client->stop();
  CHECK(world.eventually([&] { return socket == nullptr; }));
}

TEST_CASE("the end of a server is CLOSE in the classic dialect, after all that it has sent") {
  GateWorld world(false);
  const std::string much = random_bytes(3 << 20, 2);
  TcpServer server([&](int fd) { send_all(fd, much); });
  std::shared_ptr<net::WebSocket> socket;
  std::string got;
  bool closed = false;
  Runner runner(world, [&](std::shared_ptr<net::WebSocket> opened, const net::Request&) {
    socket = std::move(opened);
    socket->start({[&](std::string_view data, bool) {
                     const auto message = *parse(data);
                     if (message.type == Type::data) got += message.payload;
                     closed = closed || message.type == Type::close;
                   },
                   [&](std::uint16_t, std::string_view) { socket.reset(); }, {}});
    socket->send(classic(Type::connect, 9, {}, server.port), true);
  });
  CHECK(world.eventually([&] { return closed; }));
  CHECK(got == much);
  runner.client->stop();
  CHECK(world.eventually([&] { return socket == nullptr; }));
}

TEST_CASE("a runner of ours says HELLO over a WebSocket, too: windows and half-close as over the socket") {
  GateWorld world(false);
  TcpServer server(echo);
  Runner runner(world, [&](std::shared_ptr<net::WebSocket> socket, const net::Request&) { world.gate->adopt("vps-1", make_link(std::move(socket)), Mux::Greeting::first); });
  runner.ours = true;
  REQUIRE(world.eventually([&] { return world.gate->connected("vps-1"); }));
  const std::string much = random_bytes(3 << 20, 3);
  auto stopped = world.open(server.port), user = world.open(server.port);
  stopped->reads = false;
  stopped->send(much);
  user->end_when_sent = true;
  user->send(much);
  CHECK(world.eventually([&] { return user->ended; }));
  CHECK(user->got == much);
  CHECK(stopped->got_bytes <= 256 << 10);
  runner.client->stop();
  CHECK(world.eventually([&] { return !world.gate->connected("vps-1"); }));
  CHECK(stopped->closed);
}

TEST_CASE("a gate serves a client of the reference as well, as far as that goes") {
  GateWorld world(false);
  TcpServer server(echo);
  Runner runner(world, [&](std::shared_ptr<net::WebSocket> socket, const net::Request&) { world.gate->adopt("vps-1", make_link(std::move(socket)), Mux::Greeting::never); });
  REQUIRE(world.eventually([&] { return world.gate->connected("vps-1"); }));
  const std::string much = random_bytes(3 << 20, 4);
  auto one = world.open(server.port), other = world.open(server.port);
  one->send(much);
  other->send("other");
  CHECK(world.eventually([&] { return one->got.size() == much.size() && other->got == "other"; }));
  CHECK(one->got == much);
  CHECK_THROWS_AS(world.gate->listen("vps-1", 0, {}), Unavailable);
  auto refused = world.open(1);
  CHECK(world.eventually([&] { return refused->closed; }));
  CHECK(refused->why.starts_with("connection refused"));
  runner.client->stop();
  CHECK(world.eventually([&] { return one->closed; }));
}

TEST_CASE("who gives up after some tries says so") {
  GateWorld world(false);
  bool given_up = false;
  Client client(world.loop, {.socket = world.folder / "nobody.sock", .runner_url = {}, .container_id = {}, .reconnect_delay = 20ms, .max_reconnect = 3});
  client.start([&] { given_up = true; });
  CHECK(world.eventually([&] { return given_up; }));
}
