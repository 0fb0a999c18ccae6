// One-use tickets with which a browser opens a WebSocket: it cannot send a header there, and what stands in an address ends up in histories and logs. Thread-safe.
#pragma once
#include <chrono>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock.hpp"
#include "base/identity.hpp"

namespace riverbox::net {

class Tickets {
public:
  static constexpr std::chrono::seconds kLifetime{30};
  explicit Tickets(Clock clock = {}) : clock_(std::move(clock)) {}
  // For one upgrade to `path`, soon. Throws Unavailable when thousands are waiting.
  std::string issue(Identity identity, std::string path);
  // nullopt: unknown, too late, used already, or for another path. It is used up in any case.
  std::optional<Identity> take(const std::string& ticket, const std::string& path);

private:
  struct Ticket {
    Identity identity;
    std::string path;
    std::chrono::steady_clock::time_point expires;
  };
  Clock clock_;
  std::mutex mutex_;
  std::map<std::string, Ticket> waiting_;
};

}  // namespace riverbox::net
