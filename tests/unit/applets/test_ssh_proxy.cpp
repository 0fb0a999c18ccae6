#include <doctest/doctest.h>

#include "applets/exit_codes.hpp"
#include "applets/ssh_proxy.hpp"
#include "base/strings.hpp"

using namespace riverbox;
using namespace riverbox::applets;

namespace {

std::string refusal(std::string_view line) {
  try {
    check_proxy_answer(line);
  } catch (const HostRefusal& error) {
    return error.fact();
  }
  return "";
}

}  // namespace

TEST_CASE("the proxy's answer") {
  CHECK_NOTHROW(check_proxy_answer("SUCCESS"));
  CHECK_NOTHROW(check_proxy_answer("SUCCESS\r"));
  CHECK(refusal("ERROR Task 1 not found.") == "Task 1 not found.");
  CHECK(refusal("b'ERROR 'Task 1 not found.") == "Task 1 not found.");  // what HakuRiver's host sends
}

TEST_CASE("what else listens there is told apart") {
  for (const char* line : {"", "SUCCESSFUL", "SSH-2.0-OpenSSH_9.2", "HTTP/1.1 400 Bad Request", "ERRORS"}) CHECK_THROWS_AS(check_proxy_answer(line), BadData);
  CHECK(refusal("ERROR \x1b[31mred") == printable("\x1b[31mred"));  // nothing of it reaches the terminal as it is
  CHECK(refusal("ERROR " + std::string(5000, 'x')).size() <= 510);
}
