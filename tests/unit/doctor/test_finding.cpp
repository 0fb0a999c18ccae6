#include <doctest/doctest.h>

#include "doctor/finding.hpp"

using namespace riverbox::doctor;

TEST_CASE("findings come back as they were sent, and safe for a terminal") {
  const Findings sent{{Level::ok, "all is well", ""}, {Level::warning, "slow\tand\nwide \x1b[31m", "mount -o hard"}, {Level::problem, "gone", "mount '/a b'"}};
  const Findings back = decode(encode(sent));
  REQUIRE(back.size() == 3);
  CHECK(back[0].level == Level::ok);
  CHECK(back[0].mend.empty());
  CHECK(back[1].level == Level::warning);
  CHECK(back[1].text.find_first_of("\t\n\x1b") == std::string::npos);
  CHECK(back[2].level == Level::problem);
  CHECK(back[2].mend == "mount '/a b'");
  CHECK(decode("").empty());
  CHECK(decode("ok\tonly two\n").empty());
}
