#include <doctest/doctest.h>
#include <unistd.h>

#include "base/error.hpp"
#include "host/local_users.hpp"

using namespace riverbox;

namespace {

constexpr uid_t kDaemon = 1, kNobody = 65534, kUnknown = 3999999;  // as on every Debian

}  // namespace

TEST_CASE("root and the user of the host are administrators") {
  const host::LocalUsers users({});
  CHECK(users.find(0, {})->role == Role::admin);
  CHECK(users.find(geteuid(), {})->role == Role::admin);
  CHECK_FALSE(users.find(kNobody, {}));
}

TEST_CASE("of the rules that fit the highest role counts") {
  const host::LocalUsers users({"*:viewer", "daemon:user", "@daemon:operator", "@4242:admin", "3999999:user"});
  CHECK(users.find(kNobody, {})->role == Role::viewer);
  CHECK(users.find(kDaemon, {})->role == Role::user);
  CHECK(users.find(kDaemon, {})->name == "daemon");
  CHECK(users.find(kDaemon, {7, 1})->role == Role::operator_);
  CHECK(users.find(kNobody, {4242})->role == Role::admin);
  CHECK(users.find(kUnknown, {})->name == "3999999");
  CHECK(users.find(kUnknown, {})->role == Role::user);
}

TEST_CASE("whom the rules let in is known by the name") {
  const host::LocalUsers users({"daemon:user"});
  CHECK(users.may_come("daemon"));
  CHECK_FALSE(users.may_come("nobody"));
  CHECK_FALSE(users.may_come("nobody-of-that-name"));
  CHECK(host::LocalUsers({"@daemon:user"}).may_come("daemon"));
}

TEST_CASE("what is no rule is refused") {
  for (const char* rule : {"", "daemon", "daemon:", ":user", "@:user", "daemon:root", "daemon:node", "daemon:joiner", "nobody-of-that-name:user", "@nobody-of-that-name:user"}) {
    CAPTURE(rule);
    CHECK_THROWS_AS(host::LocalUsers({rule}), ConfigError);
  }
}
