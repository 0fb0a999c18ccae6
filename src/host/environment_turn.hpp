// Whose turn it is to change an environment. Only for the parts of Environments.
#pragma once
#include "host/environments.hpp"

namespace riverbox::host {

inline constexpr std::chrono::seconds kStopGrace{10};  // what docker gives

class Environments::Turn {
public:
  Turn(Environments& owner, EnvironmentName name) : owner_(owner), name_(std::move(name)) {
    std::unique_lock lock(owner_.mutex_);
    owner_.turn_over_.wait(lock, [&] { return !owner_.publishing_.contains(name_); });
    owner_.publishing_.insert(name_);
  }
  ~Turn() {
    {
      std::lock_guard lock(owner_.mutex_);
      owner_.publishing_.erase(name_);
    }
    owner_.turn_over_.notify_all();
  }
  Turn(Turn&&) = delete;

private:
  Environments& owner_;
  EnvironmentName name_;
};

}  // namespace riverbox::host
