#include "runner/vps_turns.hpp"

#include <chrono>
#include <thread>

#include "base/error.hpp"

namespace riverbox::runner {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPatience = std::chrono::seconds(5);
constexpr auto kLookAgain = std::chrono::milliseconds(50);

}  // namespace

VpsTurns::Work VpsTurns::work_on(TaskId id) {
  const std::lock_guard lock(mutex_);
  const auto found = taken_.find(id);
  return found == taken_.end() ? Work() : found->second;
}

void VpsTurns::end(TaskId id) {
  const std::lock_guard lock(mutex_);
  taken_.erase(id);
}

std::optional<VpsTurns::Turn> VpsTurns::try_take(TaskId id, Work work) {
  const std::lock_guard lock(mutex_);
  if (!taken_.emplace(id, std::move(work)).second) return std::nullopt;
  return Turn(*this, id);
}

std::optional<VpsTurns::Turn> VpsTurns::try_take(TaskId id, std::string what) { return try_take(id, Work{std::move(what)}); }

VpsTurns::Turn VpsTurns::take(TaskId id, std::string what) {
  for (const auto give_up = Clock::now() + kPatience;;) {
    if (auto turn = try_take(id, what)) return std::move(*turn);
    if (const Work other = work_on(id); !other.what.empty() && (!other.is_brief || Clock::now() > give_up))
      throw Conflict("VPS " + id.str() + " is busy: " + other.what, "Try again when that is done.");
    std::this_thread::sleep_for(kLookAgain);
  }
}

VpsTurns::Turn VpsTurns::wait_for(TaskId id, std::string what, const Meanwhile& meanwhile) {
  for (;;) {
    if (auto turn = try_take(id, Work{what, true})) return std::move(*turn);
    meanwhile(work_on(id).what);
    std::this_thread::sleep_for(kLookAgain);
  }
}

void VpsTurns::wait_until_free(TaskId id, const Meanwhile& meanwhile) {
  for (Work other = work_on(id); !other.what.empty(); other = work_on(id)) {
    meanwhile(other.what);
    std::this_thread::sleep_for(kLookAgain);
  }
}

}  // namespace riverbox::runner
