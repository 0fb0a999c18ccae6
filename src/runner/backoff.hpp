// How long to wait before the next try: doubling, with jitter, so that a restarted host is not met by all runners at once.
#pragma once
#include <algorithm>
#include <chrono>
#include <functional>
#include <random>

namespace riverbox::runner {

class Backoff {
public:
  using Milliseconds = std::chrono::milliseconds;
  static constexpr Milliseconds kFirst{200}, kLongest{5000};

  // `random` gives numbers in [0, 1).
  explicit Backoff(std::function<double()> random = default_random()) : random_(std::move(random)) {}

  // Between half of the step and the whole step; the step doubles from 0.2 s to 5 s.
  Milliseconds next() {
    auto step = step_;
    step_ = std::min(step_ * 2, kLongest);
    auto part = 0.5 + 0.5 * random_();
    return Milliseconds(static_cast<std::int64_t>(static_cast<double>(step.count()) * part));
  }
  void reset() { step_ = kFirst; }

private:
  static std::function<double()> default_random() {
    return [engine = std::minstd_rand(std::random_device{}())]() mutable { return std::uniform_real_distribution<>(0, 1)(engine); };
  }
  std::function<double()> random_;
  Milliseconds step_ = kFirst;
};

}  // namespace riverbox::runner
