#include <doctest/doctest.h>
#include <unistd.h>

#include "base/error.hpp"
#include "ssh/addresses.hpp"
#include "ssh/pty_modes.hpp"
#include "ssh/scp_line.hpp"

using namespace riverbox;
using namespace riverbox::ssh;

TEST_CASE("scp: entries and times") {
  const auto file = parse_scp_entry("C0644 12 two words");
  REQUIRE(file);
  CHECK(file->mode == 0644);
  CHECK(file->size == 12);
  CHECK(file->name == "two words");
  CHECK(parse_scp_entry("D2755 0 folder")->mode == 02755);
  const std::string nul("C0644 1 a\0b", 11);
  for (const std::string& bad : {std::string("C0644 12 ../x"), std::string("C0644 12 .."), std::string("C0644 12 a/b"), std::string("C0644 12 "), std::string("C0644 -1 x"), std::string("C0648 1 x"),
                                 std::string("C644 1 x"), std::string("E0644 1 x"), std::string("C0644 99999999999999999999 x"), std::string("C0644 9223372036854775808 x"), std::string(""), nul})
    CHECK_FALSE(parse_scp_entry(bad));
  CHECK(parse_scp_times("T1700000000 0 1600000000 0")->modified == 1700000000);
  CHECK(parse_scp_times("T1700000000 0 1600000000 0")->used == 1600000000);
  for (const char* bad : {"T", "T1 0 2", "T1 0 2 0 3", "Tx 0 2 0", "1 0 2 0"}) CHECK_FALSE(parse_scp_times(bad));
}

TEST_CASE("terminal modes: what is named is set, the rest stays") {
  termios settings{};
  settings.c_lflag = ECHO | ISIG;
  settings.c_iflag = IXON;
  const auto mode = [](int code, int value) { return std::string{static_cast<char>(code), 0, 0, 0, static_cast<char>(value)}; };
  apply_modes(mode(3, 8) + mode(53, 0) + mode(42, 1) + mode(1, 255) + mode(200, 1) + mode(50, 0), settings);
  CHECK(settings.c_cc[VERASE] == 8);
  CHECK_FALSE((settings.c_lflag & ECHO) != 0);
  CHECK((settings.c_iflag & IUTF8) != 0);
  CHECK(settings.c_cc[VINTR] == _POSIX_VDISABLE);
  CHECK((settings.c_lflag & ISIG) != 0);  // after one of another shape nothing is known
  CHECK((settings.c_iflag & IXON) != 0);
  apply_modes(mode(38, 0) + std::string(1, '\0') + mode(50, 0), settings);
  CHECK_FALSE((settings.c_iflag & IXON) != 0);
  CHECK((settings.c_lflag & ISIG) != 0);  // after the end
  apply_modes("\x35\0", settings);
}

TEST_CASE("addresses with a port") {
  CHECK(parse_endpoint("127.0.0.1:22").host == "127.0.0.1");
  CHECK(parse_endpoint("127.0.0.1:22").port == 22);
  CHECK(parse_endpoint("[::1]:2222").host == "::1");
  for (const char* bad : {"", "22", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:22", "localhost:22", "[]:1", "1.2.3.4:-1"}) CHECK_THROWS_AS(parse_endpoint(bad), InvalidInput);
  CHECK(is_numeric("10.0.0.1"));
  CHECK_FALSE(is_numeric("node0"));
  std::uint16_t port = 0;
  const os::UniqueFd listener = listen_on({"127.0.0.1", 0}, &port);
  CHECK(port != 0);
  bool refused = true;
  CHECK(connect_here("127.0.0.1", port, refused));
  CHECK_FALSE(refused);
  CHECK_FALSE(connect_here("127.0.0.1", 1, refused));
  CHECK(refused);
  CHECK_FALSE(connect_here("10.1.2.3", 1, refused));
  CHECK_FALSE(refused);  // elsewhere, so it is not known
}
