#include <doctest/doctest.h>

#include "base/strings.hpp"
#include "ssh/authorized_keys.hpp"

using namespace riverbox;
using namespace riverbox::ssh;

namespace {

std::string blob_of(std::string_view type, size_t rest = 36) {
  std::string blob(3, '\0');
  blob += static_cast<char>(type.size());
  return blob + std::string(type) + std::string(rest, 'k');
}

std::string line_of(std::string_view type) { return std::string(type) + " " + base64(blob_of(type)); }

}  // namespace

TEST_CASE("authorized keys: types, comments, empty lines, line ends") {
  const std::string text = "# those who may\n\n" + line_of("ssh-ed25519") + " ann@desk with words\r\n  \t" + line_of("ssh-rsa") + "\n" + line_of("sk-ssh-ed25519@openssh.com");
  const AuthorizedKeys all = parse_authorized_keys(text);
  REQUIRE(all.keys.size() == 3);
  CHECK(all.ignored.empty());
  CHECK(all.keys[0].type == "ssh-ed25519");
  CHECK(all.keys[0].blob == blob_of("ssh-ed25519"));
  CHECK(all.keys[0].comment == "ann@desk with words");
  CHECK(all.keys[0].line == 3);
  CHECK(all.keys[1].line == 4);
  CHECK(all.keys[1].comment.empty());
  CHECK(all.keys[2].line == 5);
}

TEST_CASE("authorized keys: what has options is not believed at all") {
  for (const char* options : {"command=\"echo x\"", "from=\"10.0.0.0/8\"", "no-pty", "restrict,port-forwarding", "command=\"ssh-ed25519 AAAA\"", "cert-authority"}) {
    const AuthorizedKeys all = parse_authorized_keys(std::string(options) + " " + line_of("ssh-ed25519"));
    CHECK(all.keys.empty());
    REQUIRE(all.ignored.size() == 1);
    CHECK(all.ignored[0].line == 1);
    CHECK(all.ignored[0].why.find("options") != std::string::npos);
  }
}

TEST_CASE("authorized keys: what is damaged or old is told and leaves the others alone") {
  const std::string good = line_of("ssh-ed25519");
  const std::string other_type = "ssh-ed25519 " + base64(blob_of("ssh-rsa")), old = "ssh-dss " + base64(blob_of("ssh-dss")), certificate = line_of("ssh-ed25519-cert-v01@openssh.com");
  for (const std::string& bad : {other_type, old, certificate, std::string("ssh-ed25519"), std::string("ssh-ed25519 ***"), std::string("ssh-ed25519 AAAA"), good.substr(0, 20), std::string(20000, 'x'),
                                 std::string("ssh-ed25519\0 AAAA", 17)}) {
    const AuthorizedKeys all = parse_authorized_keys(bad + "\n" + good + "\n");
    CHECK(all.keys.size() == 1);
    CHECK(all.ignored.size() == 1);
  }
  CHECK(parse_authorized_keys("").keys.empty());
  CHECK(parse_authorized_keys("\n\n\n").ignored.empty());
}
