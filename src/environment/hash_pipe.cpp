#include "environment/hash_pipe.hpp"

#include <utility>

namespace riverbox::environment {
namespace {

constexpr size_t kMaxWaiting = 4;

}  // namespace

HashPipe::HashPipe() : thread_([this] { run(); }) {}

HashPipe::~HashPipe() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void HashPipe::push(Chunk chunk) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return waiting_.size() < kMaxWaiting; });
  waiting_.push_back(std::move(chunk));
  lock.unlock();
  changed_.notify_all();
}

Digest HashPipe::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return waiting_.empty() && !busy_; });
  return std::exchange(sha_, Sha256()).finish();
}

void HashPipe::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return over_ || !waiting_.empty(); });
    if (over_) return;
    const Chunk chunk = std::move(waiting_.front());
    waiting_.pop_front();
    busy_ = true;
    lock.unlock();
    changed_.notify_all();
    sha_.update(*chunk);  // nobody else touches it while busy_ is set
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

}  // namespace riverbox::environment
