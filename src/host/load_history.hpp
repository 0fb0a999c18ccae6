// How busy one node was in each of the last minutes. In memory, 8 bytes a minute; gone with the program. Not thread-safe.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace riverbox::host {

class LoadHistory {
public:
  static constexpr std::int64_t kStepSeconds = 60;
  static constexpr std::int64_t kMinutes = 24 * 60;  // that are kept
  enum Measure { cpu_percent, memory_percent, gpu_percent, cores_in_use };
  static constexpr size_t kMeasures = 4;
  using Values = std::array<std::optional<double>, kMeasures>;  // by measure; nullopt: it was not told
  // A value in tenths, which are enough for a line on a screen.
  using Tenths = std::uint16_t;
  static constexpr Tenths kNothing = 0xffff;
  using Minute = std::array<Tenths, kMeasures>;

  // What was heard in this minute (since the epoch). Of each minute the mean is kept. A clock that is set back takes what was heard after that time with it.
  void add(std::int64_t minute, const Values& values);
  // All kNothing where nothing was heard, or it was too long ago.
  Minute at(std::int64_t minute) const;
  // The first and the last minute of which something may be known. nullopt: nothing has been heard.
  struct Span {
    std::int64_t first = 0, last = 0;
  };
  std::optional<Span> span() const { return span_; }

private:
  struct Mean {
    double sum = 0;
    int count = 0;
  };
  Minute& slot(std::int64_t minute) { return minutes_[static_cast<size_t>(minute % kMinutes)]; }
  void begin(std::int64_t minute);

  std::optional<Span> span_;
  std::vector<Minute> minutes_;               // a ring, by the minute; made when something is heard
  std::array<Mean, kMeasures> under_way_{};   // of the last minute
};

}  // namespace riverbox::host
