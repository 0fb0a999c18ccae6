#include <doctest/doctest.h>

#include "base/error.hpp"
#include "net/certificate.hpp"
#include "net/tickets.hpp"
#include "net/tls.hpp"
#include "net/url.hpp"

using namespace riverbox;
using namespace std::chrono_literals;

namespace {

const std::string kDigits(64, 'a');

}  // namespace

TEST_CASE("a fingerprint is written in any of the usual ways") {
  const std::string plain = "sha256:" + kDigits;
  std::string with_colons;
  for (size_t i = 0; i < kDigits.size(); i += 2) with_colons += (i ? ":" : "") + std::string("AA");
  for (const std::string& text : {plain, kDigits, with_colons, "SHA256:" + with_colons, " " + plain + "\n"}) CHECK(net::Fingerprint::parse(text).str() == plain);
  for (const std::string& text : {std::string(), std::string("sha256:"), kDigits + "a", kDigits.substr(1), "sha512:" + kDigits, "sha256:" + std::string(63, 'a') + "g"})
    CHECK_THROWS_AS(net::Fingerprint::parse(text), InvalidInput);
}

TEST_CASE("the address of a host may pin its certificate") {
  const auto url = net::HttpUrl::parse("https://node0:8443/x?token=y#sha256:" + kDigits);
  CHECK(url.secure());
  CHECK(url.target == "/x?token=y");
  REQUIRE(url.pin);
  CHECK(url.pin->str() == "sha256:" + kDigits);
  CHECK(url.str() == "https://node0:8443/x");
  CHECK_THROWS_AS(net::HttpUrl::parse("https://node0#elsewhere"), InvalidInput);
  CHECK(net::HttpUrl::parse("https://node0#SHA256:" + kDigits).pin);
  CHECK_THROWS_AS(net::HttpUrl::parse("https://node0#sha256:12"), InvalidInput);
  CHECK_THROWS_AS(net::HttpUrl::parse("http://node0#sha256:" + kDigits), InvalidInput);
}

TEST_CASE("the address of a host may be a unix socket") {
  const auto url = net::HttpUrl::parse("unix:///run/riverbox/host.sock:/api/nodes?x=1");
  CHECK(url.unix_socket == "/run/riverbox/host.sock");
  CHECK(url.target == "/api/nodes?x=1");
  CHECK(url.authority() == "localhost:80");
  CHECK_FALSE(url.secure());
  CHECK(net::HttpUrl::parse("unix:///s").target == "/");
  for (const char* wrong : {"unix://", "unix://relative", "unix:///s:relative"}) CHECK_THROWS_AS(net::HttpUrl::parse(wrong), InvalidInput);
}

TEST_CASE("a path is put where it belongs") {
  const std::string pin = "#sha256:" + kDigits;
  CHECK(net::at_host("http://h:1", "/a") == "http://h:1/a");
  CHECK(net::at_host("https://h:1" + pin, "/a?b") == "https://h:1/a?b" + pin);
  CHECK(net::at_host(net::at_host("https://h:1" + pin, "/a"), "?b") == "https://h:1/a?b" + pin);
  CHECK(net::at_host("https://h:1/" + pin, "/a") == "https://h:1/a" + pin);
  CHECK(net::at_host("unix:///s", "/a") == "unix:///s:/a");
  CHECK(net::at_host(net::at_host("unix:///s", "/a"), "?b") == "unix:///s:/a?b");
  CHECK(net::shown_host("https://h:1" + pin) == "https://h:1");
}

TEST_CASE("a ticket opens one path, once and soon") {
  auto now = std::chrono::steady_clock::time_point(100s);
  net::Tickets tickets(Clock{.steady = [&] { return now; }});
  const Identity alice{"alice", Role::user};
  const std::string first = tickets.issue(alice, "/a");
  CHECK_FALSE(tickets.take("made-up", "/a"));
  REQUIRE(tickets.take(first, "/a"));
  CHECK_FALSE(tickets.take(first, "/a"));
  const std::string elsewhere = tickets.issue(alice, "/a");
  CHECK_FALSE(tickets.take(elsewhere, "/b"));
  CHECK_FALSE(tickets.take(elsewhere, "/a"));
  const std::string late = tickets.issue(alice, "/a");
  now += net::Tickets::kLifetime;
  CHECK_FALSE(tickets.take(late, "/a"));
  for (int i = 0; i < 100; ++i) tickets.issue(alice, "/a");
  CHECK_THROWS_AS(tickets.issue(alice, "/a"), Unavailable);
  CHECK_NOTHROW(tickets.issue({"bob", Role::user}, "/a"));
  now += net::Tickets::kLifetime;
  CHECK_NOTHROW(tickets.issue(alice, "/a"));
}
