// A cooperative stop signal with an optional deadline, passed to everything that may take long.
#pragma once
#include <atomic>
#include <chrono>
#include <memory>
#include <optional>

#include "base/error.hpp"

namespace riverbox {

class CancelToken {
public:
  using Clock = std::chrono::steady_clock;
  CancelToken() : state_(std::make_shared<State>()) {}
  void cancel() const { state_->cancelled = true; }
  bool cancelled() const { return state_->cancelled || expired(); }
  bool expired() const { return state_->deadline && Clock::now() >= *state_->deadline; }
  // Set before the work starts, by its owner.
  void set_deadline(Clock::time_point at) { state_->deadline = at; }
  // Throws Cancelled, or Timeout when the deadline passed; `what` names the work.
  void check(const char* what) const {
    if (expired()) throw Timeout(std::string(what) + " took too long");
    if (state_->cancelled) throw Cancelled(std::string(what) + " was cancelled");
  }

private:
  struct State {
    std::atomic<bool> cancelled{false};
    std::optional<Clock::time_point> deadline;
  };
  std::shared_ptr<State> state_;
};

}  // namespace riverbox
