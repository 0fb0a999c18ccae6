#include "api/gate.hpp"

#include <fmt/format.h>

#include "api/registry.hpp"
#include "api/services.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"

namespace riverbox::api {
namespace {

// A request without any token asks what it takes; one with a wrong token is somebody's mistake, or worse.
std::optional<std::string> given_token(const net::Request& request) {
  if (const auto* header = request.header("authorization")) return *header;
  if (const auto in_query = request.query.find("token"); in_query != request.query.end()) return in_query->second;
  return net::session_cookie(request);
}

net::Response slow_down(bool pulls) {
  constexpr std::string_view kWhy = "too many wrong tokens from this address. Look at RIVERBOX_TOKEN and the token file there; a right token is taken at once.";
  auto refusal = pulls ? registry_error(429, "TOOMANYREQUESTS", kWhy) : detail(429, kWhy);
  refusal.headers.emplace_back("Retry-After", std::to_string(net::FailedLogins::kWithin.count()));
  return refusal;
}

net::Response not_authenticated() {
  auto refusal = detail(401, "Not authenticated");
  refusal.headers.emplace_back("WWW-Authenticate", "Bearer");
  return refusal;
}

std::string may_not(const Identity& identity, Access access) {
  if (access == Access::node) return fmt::format("only runners may do this, and '{}' is a {}", identity.name, to_string(identity.role));
  if (identity.role < Role::viewer) return fmt::format("this token is a {}'s, and good for nothing else", to_string(identity.role));
  const auto needed = access == Access::puller ? "user" : to_string(access);
  return fmt::format("this needs the role {}, and '{}' is a {}. An administrator can give another token: riverbox token create {} --role {}", needed, identity.name,
                     to_string(identity.role), identity.name, needed);
}

}  // namespace

std::variant<net::Response, Identity> admit(Services& services, const net::Request& request, Access access) {
  if (access == Access::open) return Identity{};
  const bool pulls = access == Access::puller && is_registry_path(request.path);
  auto identity = pulls ? services.access.identify_puller(request) : services.access.identify(request);
  const auto wrong = identity ? std::nullopt : given_token(request);
  if (wrong && too_many_failures(services, request, *wrong)) return slow_down(pulls);
  if (!identity) return pulls ? registry_challenge() : not_authenticated();
  if (allows(access, identity->role)) return std::move(*identity);
  const auto why = may_not(*identity, access);
  return pulls ? registry_error(403, "DENIED", why) : detail(403, why);
}

// Tokens of ours cannot be guessed; this is for whoever makes up their own, and for the one who looks at the log.
bool too_many_failures(Services& services, const net::Request& request, std::string_view token) {
  using Verdict = net::FailedLogins::Verdict;
  const auto verdict = services.failed_logins.failed(request.remote_address, token);
  if (verdict == Verdict::bearable) return false;
  if (verdict == Verdict::first_too_many) log::warning("audit", "many wrong tokens from one address", {{"from", request.remote_address}, {"path", printable(request.path, 200)}});
  return true;
}

void audit(const Identity& identity, const net::Request& request) {
  log::info("audit", request.method + " " + printable(request.path, 300), {{"user", identity.known ? identity.name : "(anybody)"}, {"role", std::string(to_string(identity.role))}, {"from", request.remote_address}});
}

bool sees_task(Services& services, const Identity& identity, const store::TaskRecord& task) {
  return identity.sees_task_of(task.owner) || (identity.role >= Role::user && services.vpses.is_shared_with(task, identity.name));
}

std::string guest_key(const std::string& user, TaskId vps) { return user + "/" + vps.str(); }

store::TaskRecord visible_task(Services& services, const Identity& identity, TaskId id) {
  auto task = services.tasks.get(id);
  if (!sees_task(services, identity, task)) throw host::no_such_task(id);
  return task;
}

std::optional<std::string> owner_filter(const Identity& identity) {
  return identity.role >= Role::operator_ ? std::nullopt : std::optional(identity.name);
}

store::TaskRecord visible_task(Call& call) { return visible_task(call.services, call.identity, TaskId::parse(call.parameter("id"))); }

}  // namespace riverbox::api
