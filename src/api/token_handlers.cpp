// Tokens of users and nodes: made, listed, revoked (docs/api.md, "Who may what").
#include "api/fields.hpp"
#include "api/handlers.hpp"
#include "api/services.hpp"
#include "api/shapes.hpp"
#include "base/error.hpp"
#include "base/log.hpp"

namespace riverbox::api {
namespace {

Json token_shape(const store::TokenRecord& token) {
  return {{"id", token.id}, {"user", token.user}, {"role", to_string(token.role)}, {"session", !token.parent.empty()}, {"note", or_null(token.note)}, {"created_at", token.created_at},
          {"expires_at", or_null(token.expires_at)}, {"last_used_at", or_null(token.last_used_at)}};
}

}  // namespace

void who_am_i(CallPtr call) {
  const auto& identity = call->identity;
  call->reply({{"user", or_null(identity.name)}, {"role", identity.known ? Json(to_string(identity.role)) : Json(nullptr)}});
}

void list_tokens(CallPtr call) {
  Json out = Json::array();
  for (const auto& token : call->services.tokens.list()) out.push_back(token_shape(token));
  call->reply(out);
}

void invite_node(CallPtr call) {
  const auto lifetime = std::chrono::seconds(number(call->body(), "expires_seconds", 3600, 1ull << 40));
  const auto made = call->services.tokens.invite(lifetime);
  log::info("audit", "invitation made", {{"by", call->identity.name}, {"id", made.record.id}});
  auto out = token_shape(made.record);
  out["token"] = made.token;
  out["host_url"] = call->services.address.at(call->services.config->network.host_reachable_address);
  call->reply(out, 201);
}

void join_node(CallPtr call) {
  const auto name = NodeName::parse(text(call->body(), "node", ""));
  // A node that runs without an identity of its own: nobody else takes its name meanwhile.
  if (const auto node = call->services.nodes.find(name.str()); node && node->online && !call->services.tokens.knows_node(name.str()))
    throw Conflict("a node called '" + name.str() + "' is connected", "Stop its runner first, if it is this machine's; else choose another name with --name.");
  const auto made = call->services.tokens.join(name);
  log::info("audit", "node joined", {{"node", name.str()}, {"from", call->request.remote_address}, {"id", made.record.id}});
  call->reply({{"node", name.str()}, {"token", made.token}}, 201);
}

void create_token(CallPtr call) {
  const auto body = call->body();
  const auto* expires = field(body, "expires_seconds");
  const host::Tokens::Wish wish{.user = text(body, "user", ""), .role = parse_role(text(body, "role", "user")),
                                .lifetime = expires ? std::optional(std::chrono::seconds(number(body, "expires_seconds", 0, 1ull << 40))) : std::nullopt, .note = text(body, "note", "")};
  const auto made = call->services.tokens.create(wish);
  log::info("audit", "token made", {{"by", call->identity.name}, {"id", made.record.id}, {"user", made.record.user}, {"role", std::string(to_string(made.record.role))}});
  auto out = token_shape(made.record);
  out["token"] = made.token;
  call->reply(out, 201);
}

void revoke_token(CallPtr call) {
  const auto token = call->services.tokens.revoke(call->parameter("id"));
  log::info("audit", "token revoked", {{"by", call->identity.name}, {"id", token.id}, {"user", token.user}});
  call->reply({{"message", "Token " + token.id + " of " + token.user + " is revoked."}});
}

}  // namespace riverbox::api
