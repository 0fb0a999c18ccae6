#include <doctest/doctest.h>

#include <random>

#include "terminal/protocol.hpp"

using namespace riverbox::terminal;

TEST_CASE("terminal protocol: messages survive the way there") {
  std::string payload("\0\xff bytes of any kind \n", 22);
  for (auto channel : {Channel::data, Channel::error, Channel::failure}) {
    std::string message = frame(channel, payload);
    auto parsed = parse(message);
    REQUIRE(parsed);
    CHECK(parsed->channel == channel);
    CHECK(parsed->payload == payload);
  }
  for (std::uint32_t value : {0u, 1u, 255u, 256u, 0x01020304u, 0x80000000u, 0xffffffffu}) {
    std::string message = frame_u32(Channel::exit, value);
    CHECK(message.size() == 5);
    CHECK(parse(message)->u32() == value);
  }
  std::string size = frame_size(50, 300);
  CHECK(size == std::string("\x02\x00\x32\x01\x2c", 5));
  CHECK(parse(size)->size() == std::pair<std::uint16_t, std::uint16_t>(50, 300));
  CHECK(parse(frame(Channel::end))->payload.empty());
}

TEST_CASE("terminal protocol: garbage is refused, not believed") {
  CHECK_FALSE(parse(""));
  CHECK_FALSE(parse("\x09"));
  CHECK_FALSE(parse("\xff\x00\x00"));
  CHECK_FALSE(parse("{\"type\":\"input\"}"));
  for (size_t length : {0, 1, 3, 5, 100}) {
    std::string message = frame(Channel::resize, std::string(length, '\1'));
    REQUIRE(parse(message));
    CHECK_FALSE(parse(message)->size());
    CHECK_FALSE(parse(message)->u32());
  }
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) {
    std::string bytes(random() % 12, '\0');
    for (char& c : bytes) c = static_cast<char>(random());
    if (auto message = parse(bytes)) {
      CHECK(frame(message->channel, message->payload) == bytes);
      if (auto value = message->u32()) CHECK(frame_u32(message->channel, *value) == bytes);
    }
  }
}
