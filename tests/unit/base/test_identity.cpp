#include <doctest/doctest.h>

#include "base/error.hpp"
#include "base/identity.hpp"

using namespace riverbox;

TEST_CASE("of the people, each may what those before may; a node only what is of nodes") {
  const Role people[] = {Role::viewer, Role::user, Role::operator_, Role::admin};
  const Access rising[] = {Access::viewer, Access::user, Access::operator_, Access::admin};
  for (int who = 0; who < 4; ++who)
    for (int what = 0; what < 4; ++what) CHECK(allows(rising[what], people[who]) == (who >= what));
  for (const Access access : rising) CHECK_FALSE(allows(access, Role::node));
  CHECK(allows(Access::node, Role::node));
  CHECK(allows(Access::node, Role::admin));
  CHECK_FALSE(allows(Access::node, Role::operator_));
  CHECK(allows(Access::puller, Role::node));
  CHECK(allows(Access::puller, Role::user));
  CHECK_FALSE(allows(Access::puller, Role::viewer));
  for (const Role role : {Role::node, Role::viewer}) CHECK(allows(Access::open, role));
}

TEST_CASE("roles by their names") {
  for (const Role role : {Role::viewer, Role::user, Role::operator_, Role::admin}) CHECK(parse_role(to_string(role)) == role);
  for (const char* wrong : {"", "node", "root", "Admin", "user "}) CHECK_THROWS_WITH_AS(parse_role(wrong), doctest::Contains("viewer, user, operator and admin"), InvalidInput);
}

TEST_CASE("whose tasks are there for whom, and whose secrets") {
  const Identity alice{"alice", Role::user}, viewer{"vera", Role::viewer}, operator_{"olga", Role::operator_}, admin{"admin", Role::admin}, node{"alice", Role::node};
  const Identity anybody{"", Role::admin, false};
  CHECK(alice.sees_task_of("alice"));
  CHECK_FALSE(alice.sees_task_of("bob"));
  CHECK_FALSE(alice.sees_task_of(""));
  CHECK_FALSE(viewer.sees_task_of("vera"));
  CHECK_FALSE(node.sees_task_of("alice"));
  for (const auto& who : {operator_, admin, anybody}) CHECK(who.sees_task_of("alice"));
  CHECK(alice.knows_secrets_of("alice"));
  CHECK(admin.knows_secrets_of("alice"));
  CHECK_FALSE(operator_.knows_secrets_of("alice"));
  CHECK(operator_.knows_secrets_of("olga"));
  CHECK_FALSE(Identity{"", Role::operator_}.knows_secrets_of(""));
}
