#include "os/worker_pool.hpp"

#include <pthread.h>

#include <csignal>

namespace riverbox::os {

WorkerPool::WorkerPool(std::string name, unsigned threads, size_t max_queued)
    : name_(std::move(name)), max_threads_(threads ? threads : 1), max_queued_(max_queued) {}

WorkerPool::~WorkerPool() {
  std::deque<Job> dropped;  // destroyed without the lock: a destructor may do anything
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    dropped.swap(queue_);
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool WorkerPool::post(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  if (stopping_ || queue_.size() >= max_queued_) return false;
  queue_.push_back({std::move(work), log::context()});
  if (queue_.size() > idle_ && threads_.size() < max_threads_) {
    try {
      threads_.emplace_back([this] { run(); });
    } catch (const std::system_error& error) {
      if (threads_.empty()) {  // nobody would ever run it
        queue_.pop_back();
        return false;
      }
      log::warning("workers", "cannot start another thread", {{"pool", name_}, {"cause", error.what()}});
    }
  }
  wake_.notify_one();
  return true;
}

void WorkerPool::run() {
  ::pthread_setname_np(::pthread_self(), name_.substr(0, 15).c_str());
  // Signals belong to the main thread, which has an event loop for them.
  sigset_t signals;
  ::sigfillset(&signals);
  for (const int fatal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) ::sigdelset(&signals, fatal);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    --idle_;
    if (stopping_) return;
    auto [work, context] = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    const log::Scope scope(std::move(context));
    try {
      work();
      work = nullptr;  // what it captured dies outside the lock too
    } catch (const std::exception& error) {
      log::error("workers", "work failed", {{"pool", name_}, {"cause", error.what()}});
    } catch (...) {
      log::error("workers", "work failed with an unknown exception", {{"pool", name_}});
    }
    work = nullptr;
    lock.lock();
  }
}

}  // namespace riverbox::os
