// Whom the owner of a VPS lets in. The paths and the shapes are KohakuRiver's; its users have numbers, ours are their names.
#include <algorithm>

#include "api/gate.hpp"
#include "api/handlers.hpp"
#include "api/services.hpp"
#include "api/shapes.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"

namespace riverbox::api {
namespace {

constexpr size_t kMostGuests = 100;

std::vector<std::string> asked_users(const net::Request& request) {
  const auto body = nlohmann::json::parse(request.body, nullptr, false);
  const bool names = body.is_array() && !body.empty() && body.size() <= kMostGuests && std::all_of(body.begin(), body.end(), [](const auto& one) { return one.is_string(); });
  if (!names) throw InvalidInput("the request body is not a list of 1 to " + std::to_string(kMostGuests) + " names of users", "Such as [\"alice\", \"bob\"].");
  return body.get<std::vector<std::string>>();
}

// A name that nobody has may be a typing error, and somebody's later.
void check_guest(Services& services, const store::TaskRecord& vps, const std::string& user) {
  if (user == vps.owner) throw InvalidInput("VPS " + vps.spec.id.str() + " belongs to '" + printable(user, 100) + "'", "Name those with whom it is to be shared.");
  if (!services.tokens.knows_user(user) && !services.local_users.may_come(user))
    throw NotFound("there is no user '" + printable(user, 100) + "'", "An administrator makes them a token: riverbox token create NAME. `riverbox token list` shows who has one.");
}

}  // namespace

void share_vps(CallPtr call) {
  auto& services = call->services;
  const auto users = asked_users(call->request);
  const auto vps = own_vps(*call);
  if (services.tokens.off()) throw Conflict("authentication is off on this host ([security] auth = \"none\")", "Everybody uses every VPS as it is.");
  for (const auto& user : users) check_guest(services, vps, user);
  if (services.vpses.guests_of(vps.spec.id).size() + users.size() > kMostGuests) throw Conflict("VPS " + vps.spec.id.str() + " would have more than " + std::to_string(kMostGuests) + " guests");
  services.vpses.share(vps, users);
  call->reply({{"message", "VPS " + vps.spec.id.str() + " is shared with " + join(users, ", ") + "."}, {"task_id", vps.spec.id.str()}, {"assigned_users", users}});
}

void unshare_vps(CallPtr call) {
  const auto vps = own_vps(*call);
  const auto& user = call->parameter("user_id");
  call->services.vpses.unshare(vps, user);
  call->services.vps_guests.show_out(guest_key(user, vps.spec.id));
  call->reply({{"message", "VPS " + vps.spec.id.str() + " is not shared with " + user + " any more."}, {"task_id", vps.spec.id.str()}});
}

void vps_guests(CallPtr call) {
  const auto id = asked_vps(*call).spec.id;
  Json guests = Json::array();
  for (const auto& [user, assigned_at] : call->services.vpses.guests_of(id))
    guests.push_back({{"user_id", user}, {"username", user}, {"display_name", user}, {"assigned_at", to_local_iso(parse_rfc3339(assigned_at))}});
  call->reply({{"task_id", id.str()}, {"assignments", std::move(guests)}});
}

void list_shared_vpses(CallPtr call) {
  Json out = Json::array();
  for (const auto& vps : call->services.vpses.shared_with(call->identity.name)) out.push_back(vps_shape(*call, vps));
  call->reply(out);
}

}  // namespace riverbox::api
