// Counts wrong tokens by the address they come from. Thread-safe.
#pragma once
#include <chrono>
#include <cstddef>
#include <map>
#include <mutex>
#include <string>

#include "base/clock.hpp"

namespace riverbox::net {

class FailedLogins {
public:
  static constexpr size_t kMost = 20;                     // from one address, within
  static constexpr std::chrono::seconds kWithin{60};
  explicit FailedLogins(Clock clock = {}) : clock_(std::move(clock)) {}

  enum class Verdict { bearable, first_too_many, too_many };
  // One more, from "127.0.0.1:51234" or "[::1]:51234"; the port does not matter.
  Verdict failed(const std::string& remote_address);

private:
  struct Count {
    std::chrono::steady_clock::time_point since;
    size_t failures = 0;
  };
  void forget_old(std::chrono::steady_clock::time_point now);

  Clock clock_;
  std::mutex mutex_;
  std::map<std::string, Count> by_address_;
};

}  // namespace riverbox::net
