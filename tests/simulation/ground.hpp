// What a simulated world stands on: its time, its chance, its events, and the words for what must not happen.
#pragma once
#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/ids.hpp"

namespace riverbox::simulation {

using namespace std::chrono_literals;
using Time = std::chrono::milliseconds;  // since the world began

// Something that must always hold does not.
struct Violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// With arithmetic of its own: a seed gives the same world with every standard library.
class Random {
public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  std::int64_t pick(std::int64_t low, std::int64_t high) { return low + static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(high - low + 1)); }
  size_t index(size_t size) { return static_cast<size_t>(pick(0, static_cast<std::int64_t>(size) - 1)); }
  bool chance(double percent) { return static_cast<double>(pick(0, 99'999)) < percent * 1000; }
  Time between(Time low, Time high) { return Time(pick(low.count(), high.count())); }

private:
  std::mt19937_64 engine_;
};

// Things happen one after the other; those of one moment in the order in which they were planned.
class Events {
public:
  Time now() const { return now_; }
  void after(Time delay, std::function<void()> what) { planned_.emplace(std::pair{now_ + delay, next_++}, std::move(what)); }
  void step() {
    auto event = planned_.extract(planned_.begin());
    now_ = event.key().first;
    event.mapped()();
  }

private:
  Time now_{0};
  std::uint64_t next_ = 0;
  std::map<std::pair<Time, std::uint64_t>, std::function<void()>> planned_;
};

// One start of a task.
struct Key {
  TaskId id;
  int attempt = 1;
  auto operator<=>(const Key&) const = default;
};

// What happened, for the one who looks for a mistake; nothing is kept unless that is wanted.
class Trail {
public:
  explicit Trail(bool kept = false) : kept_(kept) {}
  template <class... Values>
  void note(const Events& events, fmt::format_string<Values...> format, Values&&... values) {
    if (kept_) lines_.push_back(fmt::format("{:10.3f}  ", static_cast<double>(events.now().count()) / 1000) + fmt::format(format, std::forward<Values>(values)...));
  }
  const std::vector<std::string>& lines() const { return lines_; }

private:
  bool kept_;
  std::vector<std::string> lines_;
};

}  // namespace riverbox::simulation
