#include <doctest/doctest.h>

#include "api/ssh_proxy.hpp"
#include "base/error.hpp"

using namespace riverbox;
using api::ProxyRequest;

namespace {

std::string refused(std::string_view line) {
  try {
    ProxyRequest::parse(line);
  } catch (const InvalidInput& error) {
    return error.fact();
  }
  return "";
}

}  // namespace

TEST_CASE("the line of the SSH proxy: an id, and a token where the host wants one") {
  CHECK(ProxyRequest::parse("REQUEST_TUNNEL 7199539478398935041").id == TaskId(7199539478398935041u));
  CHECK(ProxyRequest::parse("REQUEST_TUNNEL 12").token.empty());
  CHECK(ProxyRequest::parse("REQUEST_TUNNEL 12\r").id == TaskId(12));
  CHECK(ProxyRequest::parse("  REQUEST_TUNNEL   12 ").token.empty());
  const auto with = ProxyRequest::parse("REQUEST_TUNNEL 12  rb_abc \r");
  CHECK(with.id == TaskId(12));
  CHECK(with.token == "rb_abc");
}

TEST_CASE("another line is refused in the words of HakuRiver") {
  for (const char* line : {"", "REQUEST_TUNNEL", "GET / HTTP/1.1", "request_tunnel 1", "REQUEST_TUNNELS 1", "SSH-2.0-OpenSSH_9.2"}) CHECK(refused(line) == "Invalid request format.");
  for (const char* line : {"REQUEST_TUNNEL x", "REQUEST_TUNNEL -1", "REQUEST_TUNNEL 1x token", "REQUEST_TUNNEL ../1", "REQUEST_TUNNEL 99999999999999999999"}) CHECK(refused(line) == "Invalid task ID format.");
}
