#include "net/tickets.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::net {
namespace {

constexpr size_t kTicketBytes = 24;  // of randomness
constexpr size_t kMostTickets = 10000;
constexpr std::ptrdiff_t kMostOfOne = 100;  // user

}  // namespace

std::string Tickets::issue(Identity identity, std::string path) {
  const auto now = clock_.steady();
  const std::lock_guard lock(mutex_);
  std::erase_if(waiting_, [now](const auto& entry) { return entry.second.expires <= now; });
  const auto theirs = std::count_if(waiting_.begin(), waiting_.end(), [&](const auto& entry) { return entry.second.identity.name == identity.name; });
  if (waiting_.size() >= kMostTickets || theirs >= kMostOfOne) throw Unavailable("too many tickets are waiting to be used", "Try again in half a minute.");
  const std::string ticket = random_hex(kTicketBytes);
  waiting_.emplace(ticket, Ticket{std::move(identity), std::move(path), now + kLifetime});
  return ticket;
}

std::optional<Identity> Tickets::take(const std::string& ticket, const std::string& path) {
  const std::lock_guard lock(mutex_);
  auto node = waiting_.extract(ticket);
  if (node.empty() || node.mapped().expires <= clock_.steady() || node.mapped().path != path) return std::nullopt;
  return std::move(node.mapped().identity);
}

}  // namespace riverbox::net
