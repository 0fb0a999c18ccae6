#include "net/failed_logins.hpp"

#include <functional>

namespace riverbox::net {
namespace {

constexpr size_t kMaxAddresses = 4096;  // whoever has more than that gets past any count

}  // namespace

FailedLogins::Verdict FailedLogins::failed(const std::string& remote_address, std::string_view token) {
  const auto now = clock_.steady();
  const std::lock_guard lock(mutex_);
  if (by_address_.size() >= kMaxAddresses) forget_old(now);
  Count& count = by_address_[remote_address.substr(0, remote_address.rfind(':'))];
  if (count.tokens.empty() || now - count.since >= kWithin) count = {now, {}};
  const bool was_bearable = count.tokens.size() <= kMost;
  if (was_bearable) count.tokens.insert(std::hash<std::string_view>()(token));
  if (count.tokens.size() <= kMost) return Verdict::bearable;
  return was_bearable ? Verdict::first_too_many : Verdict::too_many;
}

void FailedLogins::forget_old(std::chrono::steady_clock::time_point now) {
  std::erase_if(by_address_, [now](const auto& entry) { return now - entry.second.since >= kWithin; });
  if (by_address_.size() >= kMaxAddresses) by_address_.clear();
}

}  // namespace riverbox::net
