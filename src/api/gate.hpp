// The door of every route: who asks, and whether they may.
#pragma once
#include <variant>

#include "api/route.hpp"
#include "base/identity.hpp"
#include "store/host_store.hpp"

namespace riverbox::api {

// Who asks; or the refusal: 401 for nobody that we know, 429 when that has been so too often, 403 for somebody who may not. Any thread.
std::variant<net::Response, Identity> admit(Services& services, const net::Request& request, Access access);

// Counts a wrong token; true: that was one too many from where it came. Any thread.
bool too_many_failures(Services& services, const net::Request& request, std::string_view token);

// Notes in the log who has been admitted to change something.
void audit(const Identity& identity, const net::Request& request);

// Whether it is there for this one at all: an own one, anybody's for operators, a VPS that is shared with them. What they do there is theirs to do; what is for its owner alone asks for that. State worker.
bool sees_task(Services& services, const Identity& identity, const store::TaskRecord& task);
// Under which a connection into a VPS is known that ends when the VPS is shared with its user no more.
std::string guest_key(const std::string& user, TaskId vps);
// The task, if it is there for this one. Throws NotFound in the same words for one that is not there at all. State worker.
store::TaskRecord visible_task(Services& services, const Identity& identity, TaskId id);
// Whose tasks a listing for a user may show (of VPSs also those that are shared with them); nullopt: everybody's.
std::optional<std::string> owner_filter(const Identity& identity);
// The task of the route's {id}.
store::TaskRecord visible_task(Call& call);

}  // namespace riverbox::api
