// A bounded queue from one thread to another. Each side learns when the other one has ended, and why.
#pragma once
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <optional>
#include <utility>

namespace riverbox::os {

template <class T>
class Handoff {
public:
  explicit Handoff(size_t capacity) : capacity_(capacity) {}

  // Blocks while it is full. False: nobody takes anything any more.
  bool push(T item) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return items_.size() < capacity_ || abandoned_; });
    if (abandoned_) return false;
    items_.push_back(std::move(item));
    lock.unlock();
    changed_.notify_all();
    return true;
  }
  // Nothing more comes; with an error: because of that.
  void close(std::exception_ptr error = {}) {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    error_ = error;
    changed_.notify_all();
  }

  // Blocks while it is empty. nullopt: it has been closed. Throws the error that it was closed with, after the last item.
  std::optional<T> pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !items_.empty() || closed_; });
    if (items_.empty()) {
      if (error_) std::rethrow_exception(error_);
      return std::nullopt;
    }
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    lock.unlock();
    changed_.notify_all();
    return item;
  }
  // Nothing more is taken.
  void abandon() {
    const std::lock_guard lock(mutex_);
    abandoned_ = true;
    changed_.notify_all();
  }

private:
  const size_t capacity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<T> items_;
  bool closed_ = false, abandoned_ = false;
  std::exception_ptr error_;
};

}  // namespace riverbox::os
