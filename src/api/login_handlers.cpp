// How a browser comes in: it shows a token once and has a session from then on, in a cookie that no script can read and no other page can use; for a WebSocket it asks
// for a ticket (docs/api.md, "Browsers"). The paths without /api are a form for people, those with it are for programs.
#include <fmt/format.h>

#include "api/fields.hpp"
#include "api/gate.hpp"
#include "api/handlers.hpp"
#include "api/pages.hpp"
#include "api/services.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"

namespace riverbox::api {
namespace {

constexpr size_t kMostLoginBytes = 4096;  // a token, and what is around it: anybody may send this

// Behind a proxy that ends TLS, the page itself knows that it came that way.
bool came_securely(const net::Request& request) {
  const auto* origin = request.header("origin");
  return request.secure || (origin && origin->starts_with("https://"));
}

std::pair<std::string, std::string> session_header(const net::Request& request, std::string_view token, std::chrono::seconds lifetime) {
  return {"Set-Cookie", fmt::format("{}={}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{}", net::kSessionCookie, token, lifetime.count(), came_securely(request) ? "; Secure" : "")};
}

void refuse(CallPtr call, int status, std::string_view why) {
  call->responder->send(call->dialect == Dialect::api ? detail(status, why) : login_page(why, status));
}

}  // namespace

void show_login(CallPtr call) { call->responder->send(call->services.tokens.off() ? redirect_to("/") : login_page("")); }

void log_in(CallPtr call) {
  auto& s = call->services;
  const bool api = call->dialect == Dialect::api;
  if (call->request.body.size() > kMostLoginBytes) return refuse(call, 413, "That is too long for a token.");
  if (s.tokens.off()) return call->responder->send(api ? detail(409, "authentication is off on this host; there is nothing to log in to") : redirect_to("/"));
  std::string token;
  if (api) {
    token = text(call->body(), "token", "");
  } else {
    const auto form = net::parse_query(call->request.body);
    if (const auto given = form.find("token"); given != form.end()) token = trim(given->second);
  }
  if (token.empty()) return refuse(call, 400, "A token is missing.");
  const auto session = s.tokens.open_session(token);
  if (!session) {
    if (too_many_failures(s, call->request, token)) return refuse(call, 429, "Too many wrong tokens from this address; try again in a minute.");
    return refuse(call, 401, "That is no token of this host, or its time is over.");
  }
  log::info("audit", "logged in", {{"user", session->record.user}, {"role", std::string(to_string(session->record.role))}, {"from", call->request.remote_address}, {"id", session->record.id}});
  auto answer = api ? json_response({{"user", session->record.user}, {"role", to_string(session->record.role)}, {"expires_at", session->record.expires_at}}) : redirect_to("/");
  const auto lifetime = std::chrono::duration_cast<std::chrono::seconds>(parse_rfc3339(session->record.expires_at) - parse_rfc3339(session->record.created_at));
  answer.headers.push_back(session_header(call->request, session->token, lifetime));
  answer.headers.emplace_back("Cache-Control", "no-store");
  call->responder->send(std::move(answer));
}

void log_out(CallPtr call) {
  if (const auto session = net::session_cookie(call->request)) call->services.tokens.close_session(*session);
  auto answer = call->dialect == Dialect::api ? json_response({{"message", "Logged out."}}) : redirect_to("/login");
  answer.headers.push_back(session_header(call->request, "", std::chrono::seconds(0)));
  call->responder->send(std::move(answer));
}

void make_ticket(CallPtr call) {
  auto path = text(call->body(), "path", "");
  if (!path.starts_with('/') || path.size() > 1000) throw InvalidInput("a ticket is for one path of the API", R"(Send {"path": "/api/tasks/ID/attach"}, without the query.)");
  const auto ticket = call->services.tickets.issue(call->identity, std::move(path));
  call->reply({{"ticket", ticket}, {"expires_in", net::Tickets::kLifetime.count()}}, 201);
}

}  // namespace riverbox::api
