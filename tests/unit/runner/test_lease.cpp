#include <doctest/doctest.h>

#include <fstream>

#include "runner/lease.hpp"
#include "temporary_folder.hpp"

using namespace riverbox;
using namespace std::chrono_literals;
using runner::Lease;

TEST_CASE("the silence counts from what the host has taken, not from its answer") {
  test::TemporaryFolder dir;
  Lease lease(dir.path() / "l", 1000s);
  CHECK(lease.silence(1009s) == 0s);  // it has just begun
  CHECK(lease.silence(1020s) == 20s);
  lease.heard(1030s, 1032s);
  CHECK(lease.silence(1032s) == 2s);
  lease.heard(1025s, 1033s);  // an older one
  lease.heard(9999s, 1033s);  // from the future
  CHECK(lease.silence(1033s) == 3s);
}

TEST_CASE("a runner that is restarted in a partition gains no time but for a first try") {
  test::TemporaryFolder dir;
  {
    Lease lease(dir.path() / "l", 1000s);
    lease.heard(1100s, 1100s);
  }
  Lease again(dir.path() / "l", 1200s);
  CHECK(again.silence(1205s) == 0s);
  CHECK(again.silence(1210s) == 110s);
  again.heard(1212s, 1212s);
  CHECK(again.silence(1213s) == 1s);
}

TEST_CASE("what another start of the machine has written, or nobody of ours, counts for nothing") {
  test::TemporaryFolder dir;
  for (const char* text : {"some-other-boot 00000000000000000001\n", "x", "", "a b c\n"}) {
    CAPTURE(text);
    std::ofstream(dir.path() / "l", std::ios::trunc) << text;
    Lease lease(dir.path() / "l", 1000s);
    CHECK(lease.silence(1020s) == 20s);
  }
  Lease homeless(dir.path() / "no/such/folder", 1000s);  // a full disk is no reason to fail
  homeless.heard(1010s, 1010s);
  CHECK(homeless.silence(1011s) == 1s);
}

// fault: clock-wrong
TEST_CASE("its clock goes") {
  const auto then = Lease::now();
  CHECK(then.count() > 0);
  CHECK(Lease::now() >= then);
}
