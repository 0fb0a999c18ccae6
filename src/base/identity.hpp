// Who asks, and what they may do. Pure.
#pragma once
#include <string>
#include <string_view>

namespace riverbox {

// Of the people, each may what those before may. A node serves its own link and fetches environments; nothing else. Who joins may become a node; nothing else.
enum class Role { joiner, node, viewer, user, operator_, admin };

std::string_view to_string(Role role);
// "viewer", "user", "operator" or "admin". Throws InvalidInput: a node gets its identity by joining.
Role parse_role(std::string_view text);
// As to_string() wrote it. Throws BadData.
Role stored_role(std::string_view text);

// What is asked of the one who calls a route.
enum class Access {
  open,    // nothing
  joiner,  // becoming a node
  node,    // the link of a runner
  puller,  // who may take an environment away: users, and nodes
  viewer,
  user,
  operator_,
  admin,
};
std::string_view to_string(Access access);
bool allows(Access access, Role role);

struct Identity {
  std::string name;  // of the user, or of the node
  Role role = Role::viewer;
  bool known = true;  // else nobody has to say who they are ([security] auth = "none"), and everything is open
  std::string token_id = {};  // of the token that they have shown

  // Whether a task of `owner` is there for them at all.
  bool sees_task_of(const std::string& owner) const { return role >= Role::operator_ || (role == Role::user && owner == name); }
  // Whether they may know its secrets: the values of its environment variables.
  bool knows_secrets_of(const std::string& owner) const { return role == Role::admin || (owner == name && !name.empty()); }
};

}  // namespace riverbox
