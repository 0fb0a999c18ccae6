// Whose turn it is to change an environment. Only for the parts of Environments.
#pragma once
#include "base/log.hpp"
#include "host/environments.hpp"

namespace riverbox::host {

inline constexpr std::chrono::seconds kStopGrace{10};  // what docker gives

class Environments::Turn {
public:
  Turn(Environments& owner, EnvironmentName name) : owner_(owner), name_(std::move(name)) {
    std::unique_lock lock(owner_.mutex_);
    owner_.turn_over_.wait(lock, [&] { return !owner_.publishing_.contains(name_); });
    owner_.publishing_.insert(name_);
    const auto left = owner_.tidying_.extract(name_);
    lock.unlock();
    if (left) left.mapped().wait();
  }
  ~Turn() {
    {
      std::lock_guard lock(owner_.mutex_);
      owner_.publishing_.erase(name_);
    }
    owner_.turn_over_.notify_all();
  }
  Turn(Turn&&) = delete;
  // What this turn has begun and need not see to its end.
  void leave(std::shared_future<void> tidying) {
    std::lock_guard lock(owner_.mutex_);
    owner_.tidying_.insert_or_assign(name_, std::move(tidying));
  }

private:
  Environments& owner_;
  EnvironmentName name_;
  const log::Scope scope_{"environment", name_.str()};  // of all that is said meanwhile
};

}  // namespace riverbox::host
