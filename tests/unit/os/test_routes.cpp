#include <doctest/doctest.h>

#include "os/routes.hpp"

using namespace riverbox;

TEST_CASE("the kernel's table of routes, without the default one and what makes no sense") {
  const auto found = os::parse_routes(
      "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
      "eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
      "eth0\t0002A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
      "rv-a\t00101EAC\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
      "bad\tnonsense\t0\t0\t0\t0\t0\t00FFFFFF\n"
      "short\t00101EAC\n");
  REQUIRE(found.size() == 2);
  CHECK(found[0].to.str() == "192.168.2.0/24");
  CHECK(found[1].to.str() == "172.30.16.0/24");
  CHECK(found[1].interface == "rv-a");
  CHECK(os::parse_routes("").empty());
  os::routes();  // whatever this machine has
}
