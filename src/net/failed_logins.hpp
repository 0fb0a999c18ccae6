// Counts wrong tokens by the address they come from. The same one again is a mistake that repeats itself, and no guess. Thread-safe.
#pragma once
#include <chrono>
#include <cstddef>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "base/clock.hpp"

namespace riverbox::net {

class FailedLogins {
public:
  static constexpr size_t kMost = 20;  // different ones from one address, within
  static constexpr std::chrono::seconds kWithin{60};
  explicit FailedLogins(Clock clock = {}) : clock_(std::move(clock)) {}

  enum class Verdict { bearable, first_too_many, too_many };
  // From "127.0.0.1:51234" or "[::1]:51234"; the port does not matter. Of the token only a hash is kept.
  Verdict failed(const std::string& remote_address, std::string_view token);

private:
  struct Count {
    std::chrono::steady_clock::time_point since;
    std::set<size_t> tokens;  // their hashes, at most one more than kMost
  };
  void forget_old(std::chrono::steady_clock::time_point now);

  Clock clock_;
  std::mutex mutex_;
  std::map<std::string, Count> by_address_;
};

}  // namespace riverbox::net
