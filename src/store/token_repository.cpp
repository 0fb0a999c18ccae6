#include "store/token_repository.hpp"

#include "store/event_repository.hpp"

namespace riverbox::store {
namespace {

// "of alice, role user"; an invitation is nobody's.
std::string whose(const std::string& user, std::string_view role) { return (user.empty() ? "" : "of " + user + ", ") + "role " + std::string(role); }

}  // namespace

void TokenRepository::insert(const TokenRecord& token) {
  db_.write([&](Database::Connection& connection) {
    Statement statement = connection.prepare(
        "INSERT INTO tokens (id, hash, user, role, note, created_at, expires_at, last_used_at, parent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
    statement.bind(token.id).bind(token.hash).bind(token.user).bind(to_string(token.role)).bind(token.note);
    statement.bind(token.created_at).bind(token.expires_at).bind(token.last_used_at).bind(token.parent).run();
    if (token.role == Role::node) append_event(connection, {.type = "node", .action = "joined", .subject = token.user});
    else append_event(connection, {.type = "token", .action = "created", .subject = token.id, .message = whose(token.user, to_string(token.role))});
  });
}

bool TokenRepository::remove(const std::string& id) {
  bool removed = false;
  db_.write([&](Database::Connection& connection) {
    std::string message;
    {
      Statement row = connection.prepare("DELETE FROM tokens WHERE id=? RETURNING user, role");
      for (row.bind(id); row.step(); removed = true) message = whose(row.text(0), row.text(1));
    }
    if (removed) append_event(connection, {.type = "token", .action = "revoked", .subject = id, .message = message});
  });
  return removed;
}

void TokenRepository::used(const std::vector<std::pair<std::string, std::string>>& ids_and_times) {
  db_.write([&](Database::Connection& connection) {
    for (const auto& [id, at] : ids_and_times) connection.prepare("UPDATE tokens SET last_used_at=? WHERE id=?").bind(at).bind(id).run();
  });
}

std::vector<TokenRecord> TokenRepository::all() {
  std::vector<TokenRecord> tokens;
  db_.read([&](Database::Connection& connection) {
    Statement row = connection.prepare("SELECT id, hash, user, role, note, created_at, expires_at, last_used_at, parent FROM tokens ORDER BY created_at, id");
    while (row.step())
      tokens.push_back({row.text(0), row.text(1), row.text(2), stored_role(row.text(3)), row.text(4), row.text(5), row.text(6), row.text(7), row.text(8)});
  });
  return tokens;
}

}  // namespace riverbox::store
