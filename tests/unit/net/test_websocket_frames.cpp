// The server's end against a peer that speaks the protocol wrongly, or stops speaking.
#include <doctest/doctest.h>

#include "websocket_fixture.hpp"

using namespace test;

namespace {

const std::string kUpgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n";
const std::string kKey = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const std::string kVersion = "Sec-WebSocket-Version: 13\r\n";
std::string handshake(const std::string& headers) { return "GET /ws HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n"; }

// A frame with an all-zero mask, so that the payload stands as it is.
std::string frame(int first_byte, std::string_view payload, bool masked = true) {
  std::string bytes(1, static_cast<char>(first_byte));
  const int mask_bit = masked ? 0x80 : 0;
  if (payload.size() < 126) {
    bytes += static_cast<char>(mask_bit | static_cast<int>(payload.size()));
  } else {
    bytes += static_cast<char>(mask_bit | 126);
    bytes += static_cast<char>(payload.size() >> 8);
    bytes += static_cast<char>(payload.size() & 255);
  }
  if (masked) bytes += std::string(4, '\0');
  return bytes + std::string(payload);
}

struct RawPeer {
  explicit RawPeer(net::ServerOptions options = local_options()) : server(options), client(server.server.port()) {
    const Answer answer = client.ask(handshake(kUpgrade + kKey + kVersion));
    REQUIRE(answer.status == 101);
    REQUIRE(answer.has("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    REQUIRE(answer.has("Server: riverbox\r\n"));
  }
  // The code in the close frame that the server sends, 0 if there is none.
  int close_code_after(const std::string& bytes) {
    client.send(bytes);
    const std::string head = client.receive_exactly(2);
    if (head.size() < 2 || static_cast<unsigned char>(head[0]) != 0x88) return 0;
    const std::string payload = client.receive_exactly(static_cast<unsigned char>(head[1]));
    client.close();
    CHECK(server.end->wait_closed());
    if (payload.size() < 2) return 1005;
    return static_cast<unsigned char>(payload[0]) << 8 | static_cast<unsigned char>(payload[1]);
  }
  WebSocketServer server;
  RawClient client;
};

}  // namespace

// fault: websocket-malformed
TEST_CASE("a handshake that is not right is refused and the connection goes on where it can") {
  WebSocketServer server;
  auto status = [&](const std::string& bytes) { return RawClient(server.server.port()).ask(bytes).status; };
  CHECK(status(handshake(kUpgrade + kVersion)) == 400);
  CHECK(status(handshake(kUpgrade + "Sec-WebSocket-Key: short\r\n" + kVersion)) == 400);
  CHECK(status(handshake(kUpgrade + kKey)) == 426);
  CHECK(status(handshake(kUpgrade + kKey + "Sec-WebSocket-Version: 8\r\n")) == 426);
  CHECK(status(handshake(kUpgrade + kKey + kVersion + "Content-Length: 3\r\n") + "abc") == 400);
  CHECK(status(handshake(kUpgrade + kKey + kVersion) + frame(0x81, "early")) == 400);
  CHECK(status("POST /ws HTTP/1.1\r\nHost: localhost\r\n" + kUpgrade + kKey + kVersion + "\r\n") == 400);
  CHECK(status("GET /no HTTP/1.1\r\nHost: localhost\r\n" + kUpgrade + kKey + kVersion + "\r\n") == 403);
  RawClient client(server.server.port());
  CHECK(client.ask(handshake(kUpgrade + kKey)).status == 426);
  CHECK(client.ask(handshake("")).status == 200);
}

// fault: websocket-malformed
TEST_CASE("malformed frames end the connection with the code of the RFC") {
  CHECK(RawPeer().close_code_after(frame(0x81, "unmasked", false)) == 1002);
  CHECK(RawPeer().close_code_after(frame(0xc1, "reserved bit")) == 1002);
  CHECK(RawPeer().close_code_after(frame(0x83, "reserved opcode")) == 1002);
  CHECK(RawPeer().close_code_after(frame(0x09, "fragmented ping")) == 1002);
  CHECK(RawPeer().close_code_after(frame(0x89, std::string(126, 'x'))) == 1002);
  CHECK(RawPeer().close_code_after(frame(0x80, "continues nothing")) == 1002);
  CHECK(RawPeer().close_code_after(frame(0x01, "a") + frame(0x81, "b")) == 1002);
  CHECK(RawPeer().close_code_after("\x82\xff\x80" + std::string(11, '\0')) == 1009);  // 2^63
  CHECK(RawPeer().close_code_after("\x82\xff" + std::string(1, '\0') + "\x7f" + std::string(10, '\xff')) == 1009);
  CHECK(RawPeer().close_code_after(frame(0x81, "bad \xff utf-8")) == 1007);
  CHECK(RawPeer().close_code_after(frame(0x81, "cut \xc3")) == 1007);
  CHECK(RawPeer().close_code_after(frame(0x88, "\x03\xed")) == 1002);  // 1005 on the wire
  CHECK(RawPeer().close_code_after(frame(0x88, "\x03")) == 1002);
}

TEST_CASE("the peer's own close is answered and reported as it is") {
  auto reported = [](std::string_view payload) {
    RawPeer peer;
    peer.close_code_after(frame(0x88, payload));
    return peer.server.end->code();
  };
  CHECK(reported("") == 1005);
  CHECK(reported("\x03\xe8"
                 "bye") == 1000);
  CHECK(reported("\x0f\xa1") == 4001);
}

TEST_CASE("fragments, pings between them and a flood of pings are fine") {
  RawPeer peer;
  peer.client.send(frame(0x01, "one ") + frame(0x89, "p") + frame(0x00, "") + frame(0x80, "message"));
  CHECK(peer.client.receive_exactly(3) == std::string("\x8a\x01p"));
  CHECK(peer.client.receive_exactly(13) == "\x81\x0bone message");
  std::string flood;
  for (int i = 0; i < 20000; ++i) flood += frame(0x89, "");
  std::thread sender([&] { peer.client.send(flood + frame(0x81, "alive")); });
  std::string tail;
  while (!tail.ends_with("\x81\x05"
                         "alive")) {
    std::string part = peer.client.receive();
    REQUIRE(!part.empty());
    tail = tail.substr(tail.size() > 16 ? tail.size() - 16 : 0) + part;
  }
  sender.join();
}

TEST_CASE("a connection that breaks is 1006") {
  RawPeer peer;
  peer.client.send(frame(0x01, "half"));
  peer.client.close();
  REQUIRE(peer.server.end->wait_closed());
  CHECK(peer.server.end->code() == 1006);
}

// fault: network-changes
TEST_CASE("a silent peer is pinged, then given up") {
  auto options = local_options();
  options.websocket = {50, 200, 5000};
  const auto begin = std::chrono::steady_clock::now();
  RawPeer peer(options);
  CHECK(peer.client.receive_exactly(2) == std::string("\x89\0", 2));
  REQUIRE(peer.server.end->wait_closed());
  CHECK(peer.server.end->code() == 1006);
  CHECK(peer.server.end->reason() == "the peer has been silent for too long");
  CHECK(std::chrono::steady_clock::now() - begin >= 200ms);
}

TEST_CASE("a peer that never answers the close frame, or never reads, does not hold us") {
  auto options = local_options();
  options.websocket = {30000, 75000, 150};
  RawPeer peer(options);
  REQUIRE(eventually([&] { return peer.server.server.loop.run([&] { return peer.server.end->socket != nullptr; }); }));
  SUBCASE("silent") { peer.server.end->socket->close(1000, "bye"); }
  SUBCASE("not reading") {
    for (int i = 0; i < 200; ++i) peer.server.end->socket->send(std::string(100000, 'x'), true);
    peer.server.end->socket->close(1000, "bye");
  }
  REQUIRE(peer.server.end->wait_closed(3s));
  CHECK(peer.server.end->code() == 1006);
  CHECK(peer.server.end->closed_count() == 1);
}

TEST_CASE("a WebSocket counts as a connection until it ends") {
  auto options = local_options();
  options.max_connections = 1;
  WebSocketServer server(options);
  {
    RawClient client(server.server.port());
    REQUIRE(client.ask(handshake(kUpgrade + kKey + kVersion)).status == 101);
    CHECK(RawClient(server.server.port()).ask(handshake("")).status == 503);
  }
  CHECK(eventually([&] { return RawClient(server.server.port()).ask(handshake("")).status == 200; }));
}
