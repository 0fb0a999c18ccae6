#include <doctest/doctest.h>

#include "base/error.hpp"
#include "runner/task_network.hpp"

using namespace riverbox;
using namespace riverbox::runner;

TEST_CASE("ours is <prefix>-net; every other network is the administrator's") {
  const docker::Naming naming("kohakuriver");
  const auto ours = NetworkPlan::of(naming, "", "172.30.0.0/16");
  CHECK(ours.name == "kohakuriver-net");
  CHECK(ours.ours);
  CHECK(ours.labels.at("kohakuriver.managed") == "true");
  CHECK(NetworkPlan::of(naming, "kohakuriver-net", "10.9.0.0/24").ours);
  CHECK_FALSE(NetworkPlan::of(naming, "host", "172.30.0.0/16").ours);
  for (const char* wrong : {"172.30.0.0", "0.0.0.0/0", "10.0.0.0/7", "10.0.0.0/31", "10.0.0.1/32"}) CHECK_THROWS_AS(NetworkPlan::of(naming, "", wrong), InvalidInput);
  NetworkPlan::of(naming, "host", "unused");
}

TEST_CASE("a route into the subnet is in the way") {
  const std::vector<os::Route> routes{{Subnet::parse("10.0.0.0/24"), "eth0"}, {Subnet::parse("172.30.7.0/24"), "eth1"}};
  const auto* found = in_the_way(Subnet::parse("172.30.0.0/16"), routes);
  REQUIRE(found);
  CHECK(found->interface == "eth1");
  CHECK_FALSE(in_the_way(Subnet::parse("172.31.0.0/16"), routes));
  CHECK_FALSE(in_the_way(Subnet::parse("172.30.0.0/16"), {}));
  CHECK_FALSE(in_the_way(Subnet::parse("172.30.0.0/16"), {{Subnet::parse("128.0.0.0/1"), "tun0"}}));
}
