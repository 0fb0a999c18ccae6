// A value that many threads read and that is replaced as a whole: who has taken it keeps it as it was. The lock is held for a pointer, never across I/O.
#pragma once
#include <memory>
#include <mutex>
#include <utility>

namespace riverbox {

template <class T>
class Live {
public:
  explicit Live(T first) : now_(std::make_shared<const T>(std::move(first))) {}
  Live(Live&&) = delete;
  // For more than one look: both are at the same value then.
  std::shared_ptr<const T> now() const {
    std::lock_guard lock(mutex_);
    return now_;
  }
  // For one look; what it leads to lasts until the end of the statement.
  std::shared_ptr<const T> operator->() const { return now(); }
  void replace(T next) {
    auto fresh = std::make_shared<const T>(std::move(next));
    std::lock_guard lock(mutex_);
    now_.swap(fresh);  // the one before goes after the lock
  }

private:
  mutable std::mutex mutex_;
  std::shared_ptr<const T> now_;
};

}  // namespace riverbox
