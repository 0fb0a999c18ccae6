// The way of reports to the host: durable first, then sent, strictly in order, kept until acknowledged. All of it happens on one
// worker, so the order in the store and the order on the link are the same.
#pragma once
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>

#include "base/task.hpp"
#include "os/worker_pool.hpp"
#include "store/runner_store.hpp"

namespace riverbox::runner {

class ReportQueue {
public:
  // Called on the queue's worker: one message for the link that has this generation. Messages of older links are to be dropped.
  using Deliver = std::function<void(std::uint64_t generation, std::string message)>;
  ReportQueue(store::Database& database, Deliver deliver);
  ~ReportQueue();

  // All of these may be called from any thread; only finish() blocks.
  void add(TaskReport report);
  // Calls `then` on the queue's worker, after what was added before is stored and, with a link that is up, sent; while the store fails, at once.
  void after(std::function<void()> then);
  // Returns when the final report is durable and the attempt forgotten. Throws Cancelled when the runner stops first.
  void finish(TaskReport report);
  // A link came up: deliver what is in the outbox, then "synced", from then on each report as it comes.
  void replay(std::uint64_t generation);
  void acknowledge(std::int64_t sequence);
  // Gives up on a store that does not take reports.
  void stop();

private:
  void store_and_deliver(const TaskReport& report);
  void deliver(std::uint64_t generation, std::int64_t sequence, const TaskReport& report);
  void run_acknowledge();
  template <typename Work>
  void persistently(const char* what, Work work);
  void post(std::function<void()> work);
  // One that waits in after(), or all.
  bool call_next();
  void call_all() { while (call_next()) {} }

  store::Outbox outbox_;
  store::AttemptRepository attempts_;
  Deliver deliver_;
  std::uint64_t live_generation_ = 0;  // of the link that has been replayed; the worker's own
  std::atomic<std::int64_t> acknowledged_{0}, delivered_{0};  // sequence numbers
  std::atomic<bool> acknowledging_{false}, stopping_{false};
  std::mutex mutex_;  // guards what waits in after()
  std::deque<std::function<void()>> waiting_;
  os::WorkerPool worker_;  // last: joined before the rest goes
};

}  // namespace riverbox::runner
