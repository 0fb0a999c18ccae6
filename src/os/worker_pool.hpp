// Threads for work that blocks. One pool per kind of thing that can hang (Docker, the share, SQLite): when one hangs, the others go on.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/log.hpp"

namespace riverbox::os {

class WorkerPool {
public:
  // Threads start when they are first needed and never more than `threads`.
  WorkerPool(std::string name, unsigned threads, size_t max_queued = 1024);
  ~WorkerPool();  // runs nothing more, joins what runs
  // False when the queue is full: the caller answers "busy". Exceptions that leave `work` are logged. What the log tells of the caller (log::Scope), it tells of `work`, too.
  bool post(std::function<void()> work);
  const std::string& name() const { return name_; }

private:
  struct Job {
    std::function<void()> work;
    log::Context context;
  };
  void run();
  std::string name_;
  unsigned max_threads_;
  size_t max_queued_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> queue_;
  std::vector<std::thread> threads_;
  unsigned idle_ = 0;
  bool stopping_ = false;
};

}  // namespace riverbox::os
