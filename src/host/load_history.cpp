#include "host/load_history.hpp"

#include <algorithm>
#include <cmath>

namespace riverbox::host {
namespace {

constexpr LoadHistory::Minute kSilence{LoadHistory::kNothing, LoadHistory::kNothing, LoadHistory::kNothing, LoadHistory::kNothing};

// What comes over the link may be any number.
LoadHistory::Tenths in_tenths(double value) {
  constexpr double kMost = LoadHistory::kNothing - 1;
  return static_cast<LoadHistory::Tenths>(std::clamp(std::round(value * 10), 0.0, kMost));
}

}  // namespace

void LoadHistory::add(std::int64_t minute, const Values& values) {
  if (minute < 0) return;  // no clock has been set
  if (!span_ || minute != span_->last) begin(minute);
  for (size_t i = 0; i < kMeasures; ++i) {
    if (!values[i] || !std::isfinite(*values[i])) continue;
    auto& mean = under_way_[i];
    mean.sum += *values[i];
    slot(minute)[i] = in_tenths(mean.sum / ++mean.count);
  }
}

// The slots between the last minute and this one hold what was a day ago.
void LoadHistory::begin(std::int64_t minute) {
  minutes_.resize(static_cast<size_t>(kMinutes), kSilence);
  const bool goes_on = span_ && minute > span_->first;
  if (!goes_on || minute - span_->last >= kMinutes) {
    std::fill(minutes_.begin(), minutes_.end(), kSilence);
    span_ = {minute, minute};
  }
  for (auto silent = span_->last + 1; silent <= minute; ++silent) slot(silent) = kSilence;
  for (auto future = minute; future <= span_->last; ++future) slot(future) = kSilence;
  span_ = {std::max(span_->first, minute - kMinutes + 1), minute};
  under_way_ = {};
}

LoadHistory::Minute LoadHistory::at(std::int64_t minute) const {
  if (!span_ || minute < span_->first || minute > span_->last) return kSilence;
  return minutes_[static_cast<size_t>(minute % kMinutes)];
}

}  // namespace riverbox::host
