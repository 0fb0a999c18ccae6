// One line on stderr that shows how long work goes on; only on a terminal, and gone at the end.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace riverbox::applets {

struct ProgressState {
  std::string step;                 // "writing"
  std::uint64_t bytes = 0;
  std::uint64_t total_bytes = 0;    // 0: unknown
  double bytes_per_second = 0;      // 0: not known yet
  std::chrono::seconds elapsed{0};  // shown when there are no bytes to show
};

// "writing  1.2 GB of 3.4 GB  35 %  210.0 MB/s  10 s left", cut to `columns`.
std::string progress_text(const ProgressState& state, size_t columns);
// "9 s", "2 min 5 s", "1 h 3 min".
std::string duration_text(std::chrono::seconds duration);

class ProgressLine {
public:
  // Shows nothing unless stderr is a terminal.
  ProgressLine();
  ~ProgressLine() { clear(); }
  ProgressLine(ProgressLine&&) = delete;
  // Redraws at most ten times per second, but a new step at once.
  void update(const std::string& step, std::uint64_t bytes, std::uint64_t total_bytes);
  // A line of text instead of numbers.
  void message(const std::string& text);
  void clear();

private:
  using Clock = std::chrono::steady_clock;
  void draw(const std::string& text);
  void measure(Clock::time_point now, std::uint64_t bytes);
  bool enabled_;
  bool shown_ = false;
  ProgressState state_;
  Clock::time_point step_began_{}, drawn_{}, measured_{};
  std::uint64_t measured_bytes_ = 0;
};

}  // namespace riverbox::applets
