#include "base/identity.hpp"

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox {

std::string_view to_string(Role role) {
  switch (role) {
    case Role::joiner: return "joiner";
    case Role::node: return "node";
    case Role::viewer: return "viewer";
    case Role::user: return "user";
    case Role::operator_: return "operator";
    case Role::admin: return "admin";
  }
  return "?";
}

Role parse_role(std::string_view text) {
  for (const Role role : {Role::viewer, Role::user, Role::operator_, Role::admin})
    if (text == to_string(role)) return role;
  throw InvalidInput("'" + printable(text, 60) + "' is no role", "There are viewer, user, operator and admin.");
}

Role stored_role(std::string_view text) {
  for (const Role role : {Role::joiner, Role::node})
    if (text == to_string(role)) return role;
  try {
    return parse_role(text);
  } catch (const InvalidInput& error) {
    throw BadData("a token in the database: " + error.fact());
  }
}

std::string_view to_string(Access access) {
  switch (access) {
    case Access::open: return "open";
    case Access::joiner: return "joiner";
    case Access::node: return "node";
    case Access::puller: return "puller";
    case Access::viewer: return "viewer";
    case Access::user: return "user";
    case Access::operator_: return "operator";
    case Access::admin: return "admin";
  }
  return "?";
}

bool allows(Access access, Role role) {
  switch (access) {
    case Access::open: return true;
    case Access::joiner: return role == Role::joiner || role == Role::admin;
    case Access::node: return role == Role::node || role == Role::admin;
    case Access::puller: return role == Role::node || role >= Role::user;
    case Access::viewer: return role >= Role::viewer;
    case Access::user: return role >= Role::user;
    case Access::operator_: return role >= Role::operator_;
    case Access::admin: return role == Role::admin;
  }
  return false;
}

}  // namespace riverbox
