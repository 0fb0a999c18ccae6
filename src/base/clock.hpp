// The two clocks of a program, as a value, for what a simulation gives other ones.
#pragma once
#include <chrono>
#include <functional>

#include "base/time.hpp"

namespace riverbox {

struct Clock {
  std::function<WallTime()> wall = wall_now;
  std::function<std::chrono::steady_clock::time_point()> steady = std::chrono::steady_clock::now;
};

}  // namespace riverbox
