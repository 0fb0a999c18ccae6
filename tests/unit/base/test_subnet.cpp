#include <doctest/doctest.h>

#include "base/error.hpp"
#include "base/subnet.hpp"

using namespace riverbox;

TEST_CASE("a network as it is written") {
  const auto subnet = Subnet::parse("172.30.0.0/16");
  CHECK(subnet.address == 0xAC1E0000);
  CHECK(subnet.mask() == 0xFFFF0000);
  CHECK(subnet.str() == "172.30.0.0/16");
  CHECK(Subnet::parse("0.0.0.0/0").mask() == 0);
  CHECK(Subnet::parse("10.1.2.3/32").str() == "10.1.2.3/32");
}

TEST_CASE("what is no network says what is wrong") {
  for (const char* text : {"", "172.30.0.0", "172.30.0.0/", "172.30.0.0/33", "172.30.0/16", "172.30.0.0.0/16", "256.0.0.0/8", "1.2.3.-4/32", "0001.0.0.0/8", "::/0", "a.b.c.d/8"})
    CHECK_THROWS_AS(Subnet::parse(text), InvalidInput);
  try {
    Subnet::parse("172.30.5.0/16");
    FAIL("accepted");
  } catch (const InvalidInput& error) {
    CHECK(error.fact() == "\"172.30.5.0/16\" is an address inside of the network 172.30.0.0/16");
  }
}

TEST_CASE("networks overlap when one contains the other") {
  const auto overlap = [](const char* a, const char* b) { return Subnet::parse(a).overlaps(Subnet::parse(b)) && Subnet::parse(b).overlaps(Subnet::parse(a)); };
  CHECK(overlap("172.30.0.0/16", "172.30.7.0/24"));
  CHECK(overlap("0.0.0.0/0", "172.30.7.0/24"));
  CHECK(overlap("10.0.0.0/8", "10.0.0.0/8"));
  CHECK_FALSE(overlap("172.30.0.0/16", "172.31.0.0/16"));
  CHECK_FALSE(overlap("10.0.0.0/9", "10.128.0.0/9"));
}
