// The tokens of users (table `tokens` of the host's database).
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "base/identity.hpp"
#include "store/database.hpp"

namespace riverbox::store {

// One token of a user or a node. The token itself is kept nowhere.
struct TokenRecord {
  std::string id;    // for people: in lists, and to revoke it
  std::string hash;  // SHA-256 of the token, as hex
  std::string user;  // or the name of the node
  Role role = Role::viewer;
  std::string note;                             // where it is used, as its user says
  std::string created_at, expires_at, last_used_at;  // RFC 3339 or empty
  std::string parent = {};                      // of a browser's session: the id of the token it was opened with, and with which it ends
};
class TokenRepository {
public:
  explicit TokenRepository(Database& db) : db_(db) {}
  void insert(const TokenRecord& token);
  bool remove(const std::string& id);
  void used(const std::vector<std::pair<std::string, std::string>>& ids_and_times);  // RFC 3339
  std::vector<TokenRecord> all();  // oldest first

private:
  Database& db_;
};

}  // namespace riverbox::store
