#include <doctest/doctest.h>

#include <atomic>

#include "base/error.hpp"
#include "fixture.hpp"

using namespace test;

namespace {

const std::string kGet = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

// Runs `produce` in a thread of its own, as the API does on a worker.
struct StreamServer {
  using Produce = std::function<void(net::BodyWriter&)>;
  explicit StreamServer(Produce produce, std::vector<std::pair<std::string, std::string>> headers = {})
      : server({[this, produce, headers](net::Request, std::shared_ptr<net::Responder> responder) {
                  workers.emplace_back([=] {
                    net::Response head;
                    head.content_type = "text/plain";
                    head.headers = headers;
                    responder->stream(head, produce);
                  });
                },
                {}}) {}
  ~StreamServer() {
    server.loop.run([&] { server.server->stop(); });
    for (auto& worker : workers) worker.join();
  }
  std::vector<std::thread> workers;
  TestServer server;
};

}  // namespace

TEST_CASE("a streamed answer comes in chunks and the connection goes on") {
  StreamServer stream([](net::BodyWriter& body) {
    body.write("one");
    body.write("");
    body.write("three");
  });
  RawClient client(stream.server.port());
  for (int i = 0; i < 2; ++i) {
    client.send(kGet);
    const std::string head = client.receive_head();
    CHECK(head.find("Transfer-Encoding: chunked\r\n") != std::string::npos);
    CHECK(head.find("Content-Length") == std::string::npos);
    CHECK(client.receive_exactly(23) == "3\r\none\r\n5\r\nthree\r\n0\r\n\r\n");
  }
  client.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(client.receive_head().find("200 OK") != std::string::npos);
  CHECK(client.receive(50ms).empty());
}

TEST_CASE("a known length is announced, and HTTP/1.0 gets plain bytes up to the end") {
  SUBCASE("length") {
    StreamServer stream([](net::BodyWriter& body) { body.write("12345"); }, {{"Content-Length", "5"}});
    RawClient client(stream.server.port());
    Answer answer = client.ask(kGet);
    CHECK(answer.body == "12345");
    CHECK(!answer.has("chunked"));
    CHECK(client.ask(kGet).body == "12345");
  }
  SUBCASE("too much, too little") {
    for (const char* length : {"4", "6"}) {
      StreamServer stream([](net::BodyWriter& body) { body.write("12345"); }, {{"Content-Length", length}});
      RawClient client(stream.server.port());
      client.send(kGet);
      client.receive_all(2s);
      CHECK(client.ended());
    }
  }
  SUBCASE("HTTP/1.0") {
    StreamServer stream([](net::BodyWriter& body) { body.write("12345"); });
    RawClient client(stream.server.port());
    client.send("GET / HTTP/1.0\r\n\r\n");
    const std::string all = client.receive_all();
    CHECK(all.ends_with("\r\n\r\n12345"));
    CHECK(all.find("chunked") == std::string::npos);
  }
}

TEST_CASE("an exception after the head cuts the connection: no last chunk") {
  StreamServer stream([](net::BodyWriter& body) {
    body.write("begun");
    throw std::runtime_error("the disk is gone");
  });
  RawClient client(stream.server.port());
  client.send(kGet);
  CHECK(client.receive_all().find("0\r\n\r\n") == std::string::npos);
  CHECK(client.ended());
}

// fault: reader-stops
TEST_CASE("a slow reader holds the producer back") {
  std::atomic<size_t> produced{0};
  constexpr size_t kBlock = 64 << 10, kTotal = 32 << 20;
  StreamServer stream([&](net::BodyWriter& body) {
    for (size_t sent = 0; sent < kTotal; sent += kBlock) {
      body.write(std::string(kBlock, 'x'));
      produced += kBlock;
    }
  });
  RawClient client(stream.server.port(), 16 << 10);
  client.send(kGet);
  REQUIRE(eventually([&] { return produced > 0; }));
  size_t before;
  do {
    before = produced;
    std::this_thread::sleep_for(100ms);
  } while (before != produced);
  CHECK(produced < 8u << 20);  // our queue and what the kernel buffers
  size_t received = 0;
  for (std::string part; received < kTotal && !(part = client.receive()).empty();) received += part.size();
  CHECK(received >= kTotal);
  CHECK(produced == kTotal);
}

TEST_CASE("a reader that vanishes stops the producer") {
  std::atomic<bool> cancelled{false}, noticed{false};
  SUBCASE("while it waits for room") {
    StreamServer stream([&](net::BodyWriter& body) {
      try {
        for (;;) body.write(std::string(64 << 10, 'x'));
      } catch (const Cancelled&) {
        cancelled = true;
        throw;
      }
    });
    RawClient client(stream.server.port());
    client.send(kGet);
    client.receive_head();
    client.close();
    CHECK(eventually([&] { return cancelled.load(); }));
  }
  SUBCASE("while it has nothing to send") {
    StreamServer stream([&](net::BodyWriter& body) {
      noticed = eventually([&] { return body.client_gone(); });
      try {
        body.write("x");
      } catch (const Cancelled&) {
        cancelled = true;
      }
    });
    RawClient client(stream.server.port());
    client.send(kGet);
    client.receive_head();
    client.close();
    CHECK(eventually([&] { return cancelled.load(); }));
    CHECK(noticed);
  }
  SUBCASE("because the server stops") {
    std::atomic<bool> begun{false};
    auto stream = std::make_unique<StreamServer>([&](net::BodyWriter& body) {
      begun = true;
      try {
        for (;;) body.write(std::string(64 << 10, 'x'));
      } catch (const Cancelled&) {
        cancelled = true;
      }
    });
    RawClient client(stream->server.port());
    client.send(kGet);
    REQUIRE(eventually([&] { return begun.load(); }));
    stream.reset();
    CHECK(cancelled);
  }
}

TEST_CASE("streaming from the loop thread does not wait for itself") {
  TestServer server({[](net::Request, std::shared_ptr<net::Responder> responder) {
                       responder->stream({}, [](net::BodyWriter& body) {
                         for (int i = 0; i < 16; ++i) body.write(std::string(64 << 10, 'x'));
                       });
                     },
                     {}});
  RawClient client(server.port());
  client.send(kGet);
  std::string all;
  while (!all.ends_with("0\r\n\r\n")) {
    std::string part = client.receive();
    REQUIRE(!part.empty());
    all += part;
  }
  CHECK(all.size() > 1u << 20);
}

namespace {

// Keeps the body that its last request opened. Everything but the constructor is for the loop thread.
struct OpenServer {
  OpenServer()
      : server({[this](net::Request, std::shared_ptr<net::Responder> responder) {
                  body = responder->open({.content_type = "text/plain"}, {.drained = [this] { ++drained; }, .closed = [this] { ++closed; }});
                  ++asked;
                },
                {}}) {}
  ~OpenServer() {
    server.loop.run([&] { body.reset(); });
  }
  void write(const std::string& bytes) {
    server.loop.run([&] { body->write(bytes); });
  }
  std::unique_ptr<net::OpenBody> body;
  std::atomic<int> asked{0}, drained{0}, closed{0};
  TestServer server;
};

}  // namespace

TEST_CASE("an open body is sent as it comes, and after it the connection goes on") {
  OpenServer open;
  RawClient client(open.server.port());
  for (int i = 1; i <= 2; ++i) {
    client.send(kGet);
    CHECK(client.receive_head().find("Transfer-Encoding: chunked\r\n") != std::string::npos);
    open.write("one");
    CHECK(client.receive_exactly(8) == "3\r\none\r\n");
    CHECK(eventually([&] { return open.server.loop.run([&] { return open.body->queued_bytes(); }) == 0; }));
    CHECK(open.drained >= i);
    CHECK(open.closed == i - 1);
    open.server.loop.run([&] {
      open.body->write("two");
      open.body->finish();
    });
    CHECK(client.receive_exactly(13) == "3\r\ntwo\r\n0\r\n\r\n");
    CHECK(eventually([&] { return open.closed == i; }));
  }
}

TEST_CASE("nobody reads an open body: after HEAD there is none, and a reader that goes is told of") {
  OpenServer open;
  RawClient client(open.server.port());
  client.send("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(client.receive_head().find("200 OK") != std::string::npos);
  open.server.loop.run([&] { CHECK(!open.body); });
  client.send(kGet);
  client.receive_head();
  client.close();
  CHECK(eventually([&] { return open.closed == 1; }));
  open.write("into the void");
  open.server.loop.run([&] { open.body->finish(); });
  CHECK(open.closed == 1);
}

TEST_CASE("an open body that is dropped cuts the connection, and a slow reader shows in what is queued") {
  OpenServer open;
  RawClient client(open.server.port(), 16 << 10);
  client.send(kGet);
  client.receive_head();
  for (int i = 0; i < 256; ++i) open.write(std::string(64 << 10, 'x'));
  std::this_thread::sleep_for(100ms);  // what the kernel takes
  const int drained = open.drained;
  open.server.loop.run([&] { CHECK(open.body->queued_bytes() > 4u << 20); });
  std::this_thread::sleep_for(100ms);
  CHECK(open.drained == drained);
  open.server.loop.run([&] { open.body.reset(); });
  CHECK(client.receive_all(1s).find("0\r\n\r\n") == std::string::npos);
  CHECK(client.ended());
  CHECK(eventually([&] { return open.closed == 1; }));
}
