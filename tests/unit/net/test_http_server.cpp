#include <doctest/doctest.h>

#include <boost/asio/ip/tcp.hpp>

#include "base/error.hpp"
#include "fixture.hpp"
#include "net/listener.hpp"

using namespace test;

namespace {
const std::string kHost = "Host: localhost\r\n";
std::string get(const std::string& target, const std::string& headers = "") {
  return "GET " + target + " HTTP/1.1\r\n" + kHost + headers + "\r\n";
}
}  // namespace

TEST_CASE("a connection serves many requests, also when they come all at once") {
  TestServer server({echo, {}});
  RawClient client(server.port());
  Answer first = client.ask(get("/one"));
  CHECK(first.status == 200);
  CHECK(first.body == "GET /one ");
  CHECK(first.has("Server: riverbox\r\n"));
  CHECK(first.has("Content-Type: text/plain\r\n"));
  CHECK(first.has("Date: "));

  std::string pipeline;
  for (int i = 0; i < 50; ++i) pipeline += get("/" + std::to_string(i));
  pipeline += "POST /last HTTP/1.1\r\n" + kHost + "Content-Length: 3\r\n\r\nabc";
  REQUIRE(client.send(pipeline));
  for (int i = 0; i < 50; ++i) CHECK(client.answer().body == "GET /" + std::to_string(i) + " ");
  CHECK(client.answer().body == "POST /last abc");
}

TEST_CASE("pipelined requests are answered in order although the first takes longest") {
  std::vector<std::thread> workers;
  TestServer server({[&](net::Request request, std::shared_ptr<net::Responder> responder) {
                       workers.emplace_back([request, responder] {
                         if (request.path == "/slow") std::this_thread::sleep_for(50ms);
                         echo(request, responder);
                       });
                     },
                     {}});
  RawClient client(server.port());
  client.send(get("/slow") + get("/quick"));
  CHECK(client.answer().body == "GET /slow ");
  CHECK(client.answer().body == "GET /quick ");
  for (auto& worker : workers) worker.join();
}

TEST_CASE("the request arrives decoded as promised") {
  net::Request seen;
  TestServer server({[&](net::Request request, std::shared_ptr<net::Responder> responder) {
                       seen = request;
                       responder->send({});
                     },
                     {}});
  RawClient client(server.port());
  client.ask("PUT /a%2Fb/c?x=1&y=a+b%21&flag&x=2#f HTTP/1.1\r\nHOST: h:1\r\nX-Two: a\r\nx-two: b\r\nContent-Length: 2\r\n\r\nhi");
  CHECK(seen.method == "PUT");
  CHECK(seen.path == "/a%2Fb/c");
  CHECK(seen.query == std::map<std::string, std::string>{{"x", "2"}, {"y", "a b!"}, {"flag", ""}});
  CHECK(*seen.header("host") == "h:1");
  CHECK(*seen.header("x-two") == "a, b");
  CHECK(seen.header("absent") == nullptr);
  CHECK(seen.body == "hi");
  CHECK(seen.remote_address.starts_with("127.0.0.1:"));

  client.ask("GET http://other.example:99?q=1 HTTP/1.1\r\nHost: h\r\n\r\n");
  CHECK(seen.path == "/");
  CHECK(*seen.header("host") == "other.example:99");
  CHECK(seen.query.at("q") == "1");
}

TEST_CASE("HEAD has the headers of GET and no body") {
  TestServer server({echo, {}});
  RawClient client(server.port());
  client.send("HEAD /x HTTP/1.1\r\n" + kHost + "\r\n" + get("/y"));
  Answer head = client.answer(true);
  CHECK(head.has("Content-Length: 7\r\n"));
  CHECK(client.answer().body == "GET /y ");
}

TEST_CASE("HTTP/1.0 closes unless asked to stay") {
  TestServer server({echo, {}});
  RawClient client(server.port());
  Answer kept = client.ask("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  CHECK(kept.has("Connection: keep-alive"));
  CHECK(client.ask("GET /b HTTP/1.0\r\n\r\n").body == "GET /b ");
  CHECK(client.receive(2s).empty());
  CHECK(client.ended());
}

TEST_CASE("a body in chunks, and one that waits for 100") {
  TestServer server({echo, {}});
  RawClient client(server.port());
  CHECK(client.ask("POST /c HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n").body == "POST /c abcde");
  client.send("POST /e HTTP/1.1\r\n" + kHost + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  CHECK(client.receive_head() == "HTTP/1.1 100 Continue\r\n\r\n");
  CHECK(client.ask("ok").body == "POST /e ok");
}

TEST_CASE("too large a body is refused with 413, also while it is still being sent") {
  auto options = local_options();
  options.max_body_bytes = 1000;
  TestServer server({echo, {}}, options);
  {
    RawClient client(server.port());
    const std::string body(1 << 20, 'x');
    client.send("POST / HTTP/1.1\r\n" + kHost + "Content-Length: 1048576\r\n\r\n");
    client.send(body);
    Answer answer = client.answer();
    CHECK(answer.status == 413);
    CHECK(answer.body == R"({"detail":"the request body is larger than 1.0 kB"})");
    CHECK(answer.has("Connection: close"));
  }
  {
    RawClient client(server.port());
    client.send("POST / HTTP/1.1\r\n" + kHost + "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 20; ++i) client.send("64\r\n" + std::string(100, 'x') + "\r\n");
    CHECK(client.answer().status == 413);
  }
  RawClient client(server.port());
  CHECK(client.ask("POST / HTTP/1.1\r\n" + kHost + "Content-Length: 1000\r\n\r\n" + std::string(1000, 'x')).status == 200);
}

// fault: http-malformed
TEST_CASE("malformed requests are refused and never reach the handler") {
  int handled = 0;
  TestServer server({[&](net::Request request, std::shared_ptr<net::Responder> responder) {
                       ++handled;
                       echo(std::move(request), std::move(responder));
                     },
                     {}});
  auto status = [&](const std::string& bytes) {
    RawClient client(server.port());
    client.send(bytes);
    client.end_sending();
    Answer answer = client.answer();
    CHECK(answer.body.starts_with("{\"detail\":"));
    CHECK(client.receive(2s).empty());
    return answer.status;
  };
  const std::string post = "POST / HTTP/1.1\r\n" + kHost;
  CHECK(status(post + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") == 400);
  CHECK(status(post + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n") == 400);
  CHECK(status(post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc") == 400);
  CHECK(status(post + "Content-Length: -1\r\n\r\n") == 400);
  CHECK(status(post + "Content-Length: 99999999999999999999999\r\n\r\n") == 400);
  CHECK(status(post + "Content-Length: 0x10\r\n\r\n") == 400);
  CHECK(status(post + "Transfer-Encoding: gzip\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n") == 501);
  CHECK(status(post + "Transfer-Encoding: identity\r\n\r\n") == 501);
  CHECK(status(post + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n") == 400);
  CHECK(status(post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n") == 400);
  CHECK(status(post + "Transfer-Encoding: chunked\r\n\r\n3;" + std::string(200000, 'x')) == 400);
  CHECK(status("GET / HTTP/1.1\nHost: x\n\n") == 400);
  CHECK(status("GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n") == 400);
  CHECK(status("GET / HTTP/1.1\r\nHost : x\r\n\r\n") == 400);
  CHECK(status("GET / HTTP/1.1\r\n: x\r\n\r\n") == 400);
  CHECK(status(std::string("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n", 30)) == 400);
  CHECK(status("GET / HTTP/1.1\r\n\r\n") == 400);
  CHECK(status("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n") == 400);
  CHECK(status("GET / HTTP/2.0\r\nHost: a\r\n\r\n") == 400);
  CHECK(status("GET /with space HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(status("GET nothing HTTP/1.1\r\nHost: a\r\n\r\n") == 400);
  CHECK(status("\x16\x03\x01\x02 TLS hello, perhaps\r\n\r\n") == 400);
  CHECK(status("GET / HTTP/1.1\r\n" + kHost + "Expect: miracles\r\n\r\n") == 417);
  CHECK(status("GET / HTTP/1.1\r\n" + kHost + "X: " + std::string(1 << 20, 'x') + "\r\n\r\n") == 431);
  CHECK(status("GET /" + std::string(1 << 20, 'x') + " HTTP/1.1\r\n\r\n") == 431);
  std::string many = "GET / HTTP/1.1\r\n" + kHost;
  for (int i = 0; i < 10000; ++i) many += "a: b\r\n";
  CHECK(status(many + "\r\n") == 431);
  std::string several = "GET / HTTP/1.1\r\n" + kHost;
  for (int i = 0; i < 300; ++i) several += "a: b\r\n";
  CHECK(status(several + "\r\n") == 431);
  CHECK(handled == 0);
  RawClient client(server.port());
  CHECK(client.ask(get("/still-alive")).status == 200);
}

// fault: http-slow-clients
TEST_CASE("a client that sends its request too slowly is told so; one that sends none is dropped") {
  auto options = local_options();
  options.header_timeout_ms = 150;
  options.idle_timeout_ms = 300;
  TestServer server({echo, {}}, options);
  RawClient slow(server.port()), silent(server.port()), idle(server.port());
  CHECK(idle.ask(get("/")).status == 200);
  const auto begin = std::chrono::steady_clock::now();
  std::thread drip([&] {
    for (char c : get("/never-completed")) {
      if (!slow.send(std::string_view(&c, 1))) return;
      std::this_thread::sleep_for(20ms);
    }
  });
  CHECK(slow.answer().status == 408);
  CHECK(std::chrono::steady_clock::now() - begin < 10s);
  drip.join();
  CHECK(silent.receive(2s).empty());
  CHECK(silent.ended());
  CHECK(idle.receive(2s).empty());
  CHECK(idle.ended());
}

// fault: http-slow-clients
TEST_CASE("connections beyond the limit are answered 503 and the place is free again afterwards") {
  auto options = local_options();
  options.max_connections = 2;
  TestServer server({echo, {}}, options);
  auto one = std::make_unique<RawClient>(server.port());
  RawClient two(server.port());
  CHECK(one->ask(get("/")).status == 200);
  CHECK(two.ask(get("/")).status == 200);
  {
    RawClient three(server.port());
    CHECK(three.ask(get("/")).status == 503);
  }
  one.reset();
  CHECK(eventually([&] { return RawClient(server.port()).ask(get("/")).status == 200; }));
}

TEST_CASE("a handler that throws or forgets to answer gives 500, and headers cannot be injected") {
  TestServer server({[](net::Request request, std::shared_ptr<net::Responder> responder) {
                       if (request.path == "/throw") throw std::runtime_error("secret");
                       if (request.path == "/forget") return;
                       net::Response response;
                       response.headers = {{"X-Name", "a\r\nSet-Cookie: b"}, {"Content-Length", "9"}};
                       responder->send(response);
                       responder->send(response);
                     },
                     {}});
  RawClient client(server.port());
  Answer thrown = client.ask(get("/throw"));
  CHECK(thrown.status == 500);
  CHECK(thrown.body.find("secret") == std::string::npos);
  CHECK(client.ask(get("/forget")).status == 500);
  Answer twice = client.ask(get("/x"));
  CHECK(twice.has("X-Name: a  Set-Cookie: b\r\n"));
  CHECK(twice.has("Content-Length: 0\r\n"));
  CHECK(client.ask(get("/throw")).status == 500);
}

TEST_CASE("an answer that comes after the client or the server has gone is harmless") {
  std::shared_ptr<net::Responder> late, later;
  {
    TestServer server({[&](net::Request, std::shared_ptr<net::Responder> responder) { (late ? later : late) = responder; }, {}});
    {
      RawClient client(server.port());
      client.send(get("/"));
      REQUIRE(eventually([&] { return server.loop.run([&] { return late != nullptr; }); }));
    }
    late->send({});
    RawClient client(server.port());
    client.send(get("/"));
    REQUIRE(eventually([&] { return server.loop.run([&] { return later != nullptr; }); }));
  }
  later->send({});
}

TEST_CASE("stop() closes what is open and frees the port") {
  TestServer server({echo, {}});
  RawClient client(server.port());
  CHECK(client.ask(get("/")).status == 200);
  const auto port = server.port();
  server.loop.run([&] { server.server->stop(); });
  CHECK(client.receive(2s).empty());
  CHECK(client.ended());
  Loop other;
  other.run([&] { net::Server again(other.context, {"127.0.0.1", port}, {echo, {}}); });
}

TEST_CASE("a port in use, a bad address and a foreign address are explained") {
  Loop loop;
  TestServer server({echo, {}});
  auto attempt = [&](const std::string& address, std::uint16_t port) -> std::pair<ErrorKind, std::string> {
    try {
      net::open_listener(loop.context, address, port);
    } catch (const Error& error) {
      return {error.kind(), error.what()};
    }
    return {ErrorKind::internal, "it worked"};
  };
  auto [kind, text] = attempt("127.0.0.1", server.port());
  CHECK(kind == ErrorKind::unavailable);
  CHECK(text.find("port " + std::to_string(server.port()) + " is in use by this process") != std::string::npos);
  CHECK(text.find("network.host_port") != std::string::npos);
  CHECK(attempt("localhorst", 0).first == ErrorKind::invalid_input);
  CHECK(attempt("", 0).first == ErrorKind::invalid_input);
  CHECK(attempt("192.0.2.1", 0).second.find("this machine has no such address") != std::string::npos);
}
