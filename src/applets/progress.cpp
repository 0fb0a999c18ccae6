#include "applets/progress.hpp"

#include <cstdlib>
#include <unistd.h>

#include <algorithm>
#include <fmt/format.h>

#include "applets/output.hpp"
#include "base/strings.hpp"
#include "os/tty.hpp"

namespace riverbox::applets {

namespace {
constexpr auto kRedrawInterval = std::chrono::milliseconds(100);
constexpr auto kMeasureInterval = std::chrono::milliseconds(500);

bool smart_terminal() {
  const char* term = std::getenv("TERM");
  return stderr_is_terminal() && term && *term && std::string_view(term) != "dumb";
}
}  // namespace

std::string duration_text(std::chrono::seconds duration) {
  const long long s = std::max<long long>(0, duration.count());
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {} s", s / 60, s % 60);
  return fmt::format("{} h {} min", s / 3600, s % 3600 / 60);
}

std::string progress_text(const ProgressState& state, size_t columns) {
  std::string text = printable(state.step, 60);
  const bool measurable = state.total_bytes > 0 && state.bytes <= state.total_bytes;
  if (state.bytes == 0 && !measurable) {
    if (state.elapsed.count() >= 2) text += "  " + duration_text(state.elapsed);
  } else {
    const double share = measurable ? static_cast<double>(state.bytes) / static_cast<double>(state.total_bytes) : 0;
    text += "  " + human_bytes(state.bytes);
    if (measurable) text += fmt::format(" of {}  {} %", human_bytes(state.total_bytes), static_cast<int>(100 * share));
    if (state.bytes_per_second >= 1) {
      text += "  " + human_bytes(static_cast<std::uint64_t>(state.bytes_per_second)) + "/s";
      const double left = measurable ? static_cast<double>(state.total_bytes - state.bytes) / state.bytes_per_second : 0;
      if (measurable && left >= 1 && left < 360000) text += "  " + duration_text(std::chrono::seconds(static_cast<long long>(left))) + " left";
    }
  }
  // A line that wraps could not be erased.
  if (display_width(text) > columns) text = text.substr(0, complete_utf8_prefix(std::string_view(text).substr(0, columns)));
  return text;
}

ProgressLine::ProgressLine() : enabled_(smart_terminal()) {}

void ProgressLine::measure(Clock::time_point now, std::uint64_t bytes) {
  const double seconds = std::chrono::duration<double>(now - measured_).count();
  if (bytes < measured_bytes_) {  // another layer, counted from its own beginning
    measured_ = now;
    measured_bytes_ = bytes;
  } else if (now - measured_ >= kMeasureInterval) {
    const double rate = static_cast<double>(bytes - measured_bytes_) / seconds;
    // Half old, half new: steady enough to read, quick enough to believe.
    state_.bytes_per_second = state_.bytes_per_second > 0 ? (state_.bytes_per_second + rate) / 2 : rate;
    measured_ = now;
    measured_bytes_ = bytes;
  }
}

void ProgressLine::update(const std::string& step, std::uint64_t bytes, std::uint64_t total_bytes) {
  if (!enabled_) return;
  const auto now = Clock::now();
  const bool new_step = step != state_.step || drawn_ == Clock::time_point{};
  if (new_step) {
    state_ = ProgressState{.step = step};
    step_began_ = measured_ = now;
    measured_bytes_ = bytes;
  }
  measure(now, bytes);
  state_.bytes = bytes;
  state_.total_bytes = total_bytes;
  state_.elapsed = std::chrono::duration_cast<std::chrono::seconds>(now - step_began_);
  if (!new_step && now - drawn_ < kRedrawInterval) return;
  drawn_ = now;
  const auto size = os::terminal_size(STDERR_FILENO);
  draw(progress_text(state_, size ? std::max<size_t>(size->columns, 20) - 1 : 79));
}

void ProgressLine::message(const std::string& text) {
  if (!enabled_) return;
  const auto size = os::terminal_size(STDERR_FILENO);
  draw(printable(text, size ? std::max<size_t>(size->columns, 20) - 4 : 76));
}

void ProgressLine::draw(const std::string& text) {
  write_err("\r" + text + "\033[K");
  shown_ = true;
}

void ProgressLine::clear() {
  if (shown_) write_err("\r\033[K");
  shown_ = false;
}

}  // namespace riverbox::applets
