#include <doctest/doctest.h>
#include <malloc.h>

#include <atomic>

#include "websocket_fixture.hpp"

using namespace test;

namespace {
net::WebSocketRequest to(const WebSocketServer& server, const std::string& target = "/") {
  net::WebSocketRequest request;
  request.url = server.server.url(target);
  return request;
}
size_t allocated_bytes() { return mallinfo2().uordblks + mallinfo2().hblkhd; }
}  // namespace

TEST_CASE("messages go both ways, text and binary, in order, also from other threads") {
  WebSocketServer server;
  Loop loop;
  auto client = open_end(loop, to(server));
  std::vector<std::string> expected;
  for (int i = 0; i < 500; ++i) {
    client->socket->send("message " + std::to_string(i), i % 2 == 1);
    expected.push_back((i % 2 ? "b:message " : "t:message ") + std::to_string(i));
  }
  client->socket->send("", false);
  expected.push_back("t:");
  CHECK(eventually([&] { return client->messages().size() == expected.size(); }));
  CHECK(client->messages() == expected);
}

TEST_CASE("a message of 10 MB arrives whole") {
  WebSocketServer server;
  Loop loop;
  auto client = open_end(loop, to(server));
  std::string big(10 << 20, '\0');
  for (size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 31 + (i >> 13));
  client->socket->send(big, true);
  REQUIRE(eventually([&] { return !client->messages().empty(); }, 20s));
  CHECK(client->messages()[0] == "b:" + big);
}

TEST_CASE("too long a message closes the connection with 1009, on either end") {
  auto options = local_options();
  options.max_message_bytes = 1000;
  WebSocketServer server(options);
  Loop loop;
  SUBCASE("server") {
    auto client = open_end(loop, to(server));
    client->socket->send(std::string(1001, 'x'), false);
    REQUIRE(client->wait_closed());
    CHECK(client->code() == 1009);
    REQUIRE(server.end->wait_closed());
    CHECK(server.end->code() == 1009);
  }
  SUBCASE("client") {
    auto request = to(server);
    request.max_message_bytes = 10;
    auto client = open_end(loop, request);
    client->socket->send("0123456789", false);
    client->socket->send("0123456789x", false);
    REQUIRE(client->wait_closed());
    CHECK(client->code() == 1009);
    CHECK(client->messages() == std::vector<std::string>{"t:0123456789"});
  }
}

TEST_CASE("the server chooses a subprotocol from the client's list") {
  WebSocketServer server;
  Loop loop;
  auto request = to(server);
  CHECK(connect_to(loop, request).socket->subprotocol() == "");
  request.subprotocols = {"one", "two"};
  CHECK(connect_to(loop, request).socket->subprotocol() == "two");
  request.url = server.server.url("/unasked");
  auto result = connect_to(loop, request);
  CHECK(!result.socket);
  CHECK(result.error.find("unasked") != std::string::npos);
}

TEST_CASE("a refusal says why, and so does no connection at all") {
  WebSocketServer server;
  Loop loop;
  auto refused = connect_to(loop, to(server, "/no"));
  CHECK(!refused.socket);
  CHECK(refused.http_status == 403);
  CHECK(refused.error == "not for you");

  net::WebSocketRequest request;
  {
    Loop other;
    auto gone = other.run([&] { return net::Server(other.context, local_options(), {echo, {}}).port(); });
    request.url = "http://127.0.0.1:" + std::to_string(gone);
  }
  auto unreachable = connect_to(loop, request);
  CHECK(unreachable.http_status == 0);
  CHECK(unreachable.error.find("Connection refused") != std::string::npos);
  for (const char* url : {"", "http://", "ftp://x", "http://x:0", "http://x:99999", "http://a b/", "http://[::1", "https://127.0.0.1:1/"}) {
    request.url = url;
    auto bad = connect_to(loop, request);
    CHECK(!bad.socket);
    CHECK(!bad.error.empty());
  }
}

TEST_CASE("a plain HTTP answer and a server that says nothing do not hang the client") {
  TestServer plain({echo, {}});
  Loop loop;
  net::WebSocketRequest request;
  request.url = plain.url("/x");
  auto result = connect_to(loop, request);
  CHECK(!result.socket);
  CHECK(result.http_status == 200);

  TestServer mute({[](net::Request, std::shared_ptr<net::Responder> responder) {
                     static std::vector<std::shared_ptr<net::Responder>> kept;
                     kept.push_back(std::move(responder));
                   },
                   {}});
  request.url = mute.url();
  request.timeout_ms = 150;
  const auto begin = std::chrono::steady_clock::now();
  result = connect_to(loop, request);
  CHECK(!result.socket);
  CHECK(result.error.find("no answer within 150 ms") != std::string::npos);
  CHECK(std::chrono::steady_clock::now() - begin < 10s);
}

TEST_CASE("headers and query reach the server; localhost works as a name") {
  net::Request seen;
  TestServer server({echo, [&](const net::Request& request) -> std::variant<net::Response, net::Accept> {
                       seen = request;
                       return net::error_response(401, "Not authenticated");
                     }});
  Loop loop;
  net::WebSocketRequest request;
  request.url = "ws://localhost:" + std::to_string(server.port()) + "/a/b?c=d";
  request.headers = {{"Authorization", "Bearer secret"}};
  CHECK(connect_to(loop, request).http_status == 401);
  CHECK(*seen.header("authorization") == "Bearer secret");
  CHECK(seen.path == "/a/b");
  CHECK(seen.query.at("c") == "d");
  CHECK(*seen.header("host") == "localhost:" + std::to_string(server.port()));
}

TEST_CASE("close tells the other end code and reason, after what is queued, exactly once") {
  WebSocketServer server(local_options(), false);
  Loop loop;
  auto client = open_end(loop, to(server));
  for (int i = 0; i < 20; ++i) client->socket->send(std::string(100000, 'x'), true);
  client->socket->close(4001, "enough");
  client->socket->close(4002, "again");
  client->socket->send("too late", false);
  REQUIRE(server.end->wait_closed());
  REQUIRE(client->wait_closed());
  CHECK(server.end->messages().size() == 20);
  CHECK(server.end->code() == 4001);
  CHECK(server.end->reason() == "enough");
  CHECK(client->code() == 4001);
  std::this_thread::sleep_for(50ms);
  CHECK(server.end->closed_count() == 1);
  CHECK(client->closed_count() == 1);
}

TEST_CASE("codes that may not be sent and long reasons are made fit") {
  WebSocketServer server(local_options(), false);
  Loop loop;
  SUBCASE("code") {
    auto client = open_end(loop, to(server));
    client->socket->close(1006, "x");
    REQUIRE(server.end->wait_closed());
    CHECK(server.end->code() == 1000);
  }
  SUBCASE("reason") {
    auto client = open_end(loop, to(server));
    std::string reason;
    for (int i = 0; i < 100; ++i) reason += "ä";
    client->socket->close(1011, reason);
    REQUIRE(server.end->wait_closed());
    CHECK(server.end->code() == 1011);
    CHECK(server.end->reason().size() <= 123);
    CHECK(server.end->reason().ends_with("ä..."));
  }
  SUBCASE("both ends at once") {
    auto client = open_end(loop, to(server));
    REQUIRE(eventually([&] { return server.server.loop.run([&] { return server.end->socket != nullptr; }); }));
    server.server.loop.run([&] { server.end->socket->close(1000, "a"); });
    client->socket->close(1000, "b");
    CHECK(client->wait_closed());
    CHECK(server.end->wait_closed());
    CHECK(client->code() == 1000);
    CHECK(server.end->code() == 1000);
  }
}

TEST_CASE("a broken connection is 1006, a stopping server 1001") {
  Loop loop;
  WebSocketServer server;
  auto client = open_end(loop, to(server));
  REQUIRE(eventually([&] { return server.server.loop.run([&] { return server.end->socket != nullptr; }); }));
  SUBCASE("stop") {
    server.server.loop.run([&] { server.server.server->stop(); });
    REQUIRE(client->wait_closed());
    CHECK(client->code() == 1001);
    CHECK(client->reason() == "the server is stopping");
  }
  SUBCASE("close from within a message") {
    loop.run([&] {
      client->on_message = [weak = std::weak_ptr(client->socket)](std::string_view, bool) {
        if (auto socket = weak.lock()) socket->close(1000, "bye");
      };
    });
    client->socket->send("x", false);
    REQUIRE(client->wait_closed());
    CHECK(client->code() == 1000);
  }
}

TEST_CASE("a handler that throws over a message ends that connection with 1011 and nothing else") {
  Loop loop;
  WebSocketServer server, second;  // each fixture echoes to its latest connection
  auto client = open_end(loop, to(server)), other = open_end(loop, to(second));
  loop.run([&] { client->on_message = [](std::string_view, bool) { throw std::runtime_error("not JSON"); }; });
  client->socket->send("x", false);
  REQUIRE(client->wait_closed());
  CHECK(client->code() == 1011);
  other->socket->send("y", false);
  CHECK(eventually([&] { return other->messages().size() == 1; }));
}

TEST_CASE("pause_reading holds the sender back and keeps memory bounded") {
  WebSocketServer server(local_options(), false);
  Loop loop;
  auto client = open_end(loop, to(server));
  std::atomic<size_t> received{0};
  loop.run([&] {
    client->on_message = [&](std::string_view data, bool) { received += data.size(); };
    client->socket->pause_reading();
  });
  REQUIRE(eventually([&] { return server.server.loop.run([&] { return server.end->socket != nullptr; }); }));
  // The server sends as a well-behaved owner does: a new block when the queue has drained.
  constexpr size_t kBlock = 256 << 10, kBlocks = 200;
  std::atomic<size_t> sent{0};
  auto send_block = [&] {
    if (sent >= kBlocks) return;
    ++sent;
    server.end->socket->send(std::string(kBlock, 'x'), true);
  };
  const size_t before = allocated_bytes();
  server.server.loop.run([&] {
    server.end->on_drained = send_block;
    send_block();
  });
  size_t seen;
  do {
    seen = sent;
    std::this_thread::sleep_for(100ms);
  } while (seen != sent);
  CHECK(sent < 64);  // what the kernel buffers, no more
  CHECK(received <= kBlock);
  CHECK(allocated_bytes() < before + (4u << 20));
  CHECK(server.server.loop.run([&] { return server.end->socket->queued_bytes(); }) > 0);
  loop.run([&] { client->socket->resume_reading(); });
  CHECK(eventually([&] { return received == kBlock * kBlocks; }, 20s));
  CHECK(eventually([&] { return server.server.loop.run([&] { return server.end->socket->queued_bytes(); }) == 0; }));
  server.server.loop.run([&] { server.end->on_drained = nullptr; });
}

TEST_CASE("an idle connection is kept by pings, also while one end has stopped reading") {
  auto options = local_options();
  options.websocket = {50, 200, 5000};
  WebSocketServer server(options);
  Loop loop;
  auto request = to(server);
  request.timing = {50, 200, 5000};
  auto client = open_end(loop, request);
  std::this_thread::sleep_for(500ms);
  loop.run([&] { client->socket->pause_reading(); });
  std::this_thread::sleep_for(500ms);
  CHECK(client->closed_count() == 0);
  CHECK(server.end->closed_count() == 0);
  loop.run([&] { client->socket->resume_reading(); });
  client->socket->send("still here", false);
  CHECK(eventually([&] { return client->messages() == std::vector<std::string>{"t:still here"}; }));
}

TEST_CASE("fifty megabytes of output arrive, whatever the speed") {
  WebSocketServer server(local_options(), false);
  Loop loop;
  auto client = open_end(loop, to(server));
  std::atomic<size_t> received{0};
  loop.run([&] { client->on_message = [&](std::string_view data, bool) { received += data.size(); }; });
  REQUIRE(eventually([&] { return server.server.loop.run([&] { return server.end->socket != nullptr; }); }));
  constexpr size_t kBlock = 32 << 10, kTotal = 50 << 20;
  const auto begin = std::chrono::steady_clock::now();
  for (size_t sent = 0; sent < kTotal; sent += kBlock) server.end->socket->send(std::string(kBlock, 'x'), true);
  REQUIRE(eventually([&] { return received == kTotal; }, 30s));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  MESSAGE("50 MiB through one WebSocket: ", static_cast<int>(kTotal / took.count() / 1e6), " MB/s");
}
