#include "net/failed_logins.hpp"

namespace riverbox::net {
namespace {

constexpr size_t kMaxAddresses = 4096;  // whoever has more than that gets past any count

}  // namespace

FailedLogins::Verdict FailedLogins::failed(const std::string& remote_address) {
  const auto now = clock_.steady();
  const std::lock_guard lock(mutex_);
  if (by_address_.size() >= kMaxAddresses) forget_old(now);
  Count& count = by_address_[remote_address.substr(0, remote_address.rfind(':'))];
  if (count.failures == 0 || now - count.since >= kWithin) count = {now, 0};
  ++count.failures;
  return count.failures <= kMost ? Verdict::bearable : count.failures == kMost + 1 ? Verdict::first_too_many : Verdict::too_many;
}

void FailedLogins::forget_old(std::chrono::steady_clock::time_point now) {
  std::erase_if(by_address_, [now](const auto& entry) { return now - entry.second.since >= kWithin; });
  if (by_address_.size() >= kMaxAddresses) by_address_.clear();
}

}  // namespace riverbox::net
