#include "runner/log_hub.hpp"

#include <algorithm>

namespace riverbox::runner {

AttemptLog::AttemptLog(os::Place stdout_file, os::Place stderr_file) : files_{std::move(stdout_file), std::move(stderr_file)} {}

AttemptLog::View AttemptLog::view() const {
  std::lock_guard lock(mutex_);
  return view_;
}

void AttemptLog::grown(bool is_stderr, std::uint64_t size_bytes) {
  {
    std::lock_guard lock(mutex_);
    view_.size_bytes[is_stderr] = size_bytes;
  }
  notify();
}

void AttemptLog::finish() {
  {
    std::lock_guard lock(mutex_);
    view_.finished = true;
  }
  notify();
}

std::shared_ptr<AttemptLog::Listener> AttemptLog::subscribe(Listener listener) {
  auto handle = std::make_shared<Listener>(std::move(listener));
  std::lock_guard lock(mutex_);
  std::erase_if(listeners_, [](const auto& old) { return old.expired(); });
  listeners_.push_back(handle);
  return handle;
}

void AttemptLog::notify() {
  std::vector<std::shared_ptr<Listener>> interested;
  {
    std::lock_guard lock(mutex_);
    for (const auto& weak : listeners_)
      if (auto listener = weak.lock()) interested.push_back(std::move(listener));
  }
  for (const auto& listener : interested) (*listener)();
}

std::shared_ptr<AttemptLog> LogHub::open(const AttemptId& id, os::Place stdout_file, os::Place stderr_file) {
  auto log = std::make_shared<AttemptLog>(std::move(stdout_file), std::move(stderr_file));
  std::lock_guard lock(mutex_);
  logs_[id] = log;
  return log;
}

std::shared_ptr<AttemptLog> LogHub::find(const AttemptId& id) const {
  std::lock_guard lock(mutex_);
  auto found = logs_.find(id);
  return found == logs_.end() ? nullptr : found->second;
}

void LogHub::finish(const AttemptId& id) {
  std::shared_ptr<AttemptLog> log;
  {
    std::lock_guard lock(mutex_);
    auto found = logs_.find(id);
    if (found == logs_.end()) return;
    log = found->second;
    finished_.push_back(id);
    if (finished_.size() > kRemembered) {
      logs_.erase(finished_.front());
      finished_.pop_front();
    }
  }
  log->finish();
}

}  // namespace riverbox::runner
