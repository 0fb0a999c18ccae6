#include <doctest/doctest.h>

#include "tunnel/frames.hpp"

using namespace riverbox::tunnel;

TEST_CASE("a message is 8 bytes big-endian and its payload, as the reference writes it") {
  const std::string bytes = encode(Message{Type::connect, Proto::udp, 0x01020304, 0x1f90, "xy"});
  CHECK(bytes == std::string("\x01\x01\x01\x02\x03\x04\x1f\x90xy", 10));
  const auto message = parse(bytes);
  REQUIRE(message);
  CHECK(message->type == Type::connect);
  CHECK(message->proto == Proto::udp);
  CHECK(message->id == 0x01020304);
  CHECK(message->port == 8080);
  CHECK(message->payload == "xy");
}

TEST_CASE("what is too short, too long, or of a proto that there is not is no message; an unknown type is one") {
  CHECK(!parse(""));
  CHECK(!parse(std::string(7, '\3')));
  CHECK(!parse(std::string("\3\2\0\0\0\0\0\0", 8)));
  CHECK(parse(std::string("\3\0\0\0\0\0\0\0", 8)));
  CHECK(parse(std::string("\xc8\0\0\0\0\0\0\0", 8)));
  CHECK(parse("\3" + std::string(kMaxMessageBytes - 1, '\0')));
  CHECK(!parse("\3" + std::string(kMaxMessageBytes, '\0')));
}

TEST_CASE("HELLO may say more than we know, and not less") {
  Hello hello;
  hello.window = 5;
  hello.max_streams = 7;
  const auto read = parse_hello(encode(hello) + "more");
  REQUIRE(read);
  CHECK(read->version == 1);
  CHECK(read->window == 5);
  CHECK(read->max_streams == 7);
  CHECK(!parse_hello(encode(hello).substr(1)));
  CHECK(!parse_hello(std::string(12, '\0')));
}

TEST_CASE("a byte stream is cut into messages however it comes") {
  std::string stream;
  std::vector<std::string> sent;
  for (size_t size : {0, 1, 5, 65536, 300, 0, 4096}) {
    const std::string payload(size, static_cast<char>('a' + size % 26));
    const Message message{Type::data, Proto::tcp, static_cast<std::uint32_t>(size), 0, payload};
    append_framed(stream, message);
    sent.push_back(encode(message));
  }
  for (const size_t step : {1, 2, 3, 7, 100, 65548, 1 << 20}) {
    Unframer unframer;
    std::vector<std::string> got;
    for (size_t at = 0; at < stream.size(); at += step)
      REQUIRE(unframer.feed(std::string_view(stream).substr(at, step), [&](std::string_view message) {
        got.emplace_back(message);
        return true;
      }));
    CHECK(got == sent);
    CHECK(unframer.kept_bytes() == 0);
  }
}

TEST_CASE("who wants no more messages gets the rest later") {
  std::string stream;
  for (std::uint32_t id = 1; id <= 5; ++id) append_framed(stream, {Type::close, Proto::tcp, id, 0, {}});
  for (const size_t step : {1, 5, 17, 1000}) {
    Unframer unframer;
    std::string got;
    const auto one = [&](std::string_view message) {
      got += static_cast<char>('0' + parse(message)->id);
      return false;
    };
    for (size_t at = 0; at < stream.size(); at += step) REQUIRE(unframer.feed(std::string_view(stream).substr(at, step), one));
    for (int i = 0; i < 5; ++i) REQUIRE(unframer.resume(one));
    CHECK(got == "12345");
  }
}

TEST_CASE("a length that no message has ends a byte stream") {
  const auto take = [](std::string_view) { return true; };
  CHECK(!Unframer().feed(std::string("\0\0\0\7", 4), take));
  CHECK(!Unframer().feed(std::string("\0\1\0\x09", 4), take));
  CHECK(!Unframer().feed("GET / HTTP/1.1", take));
  Unframer slowly;
  CHECK(slowly.feed("G", take));
  CHECK(slowly.feed("E", take));
  CHECK(!slowly.feed("T /", take));
}
