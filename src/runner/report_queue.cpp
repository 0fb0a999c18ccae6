#include "runner/report_queue.hpp"

#include <chrono>
#include <future>
#include <limits>
#include <memory>
#include <thread>

#include "base/error.hpp"
#include "base/log.hpp"
#include "runner/messages.hpp"

namespace riverbox::runner {
namespace {

constexpr size_t kMaxQueued = 1u << 20;
constexpr auto kRetryPause = std::chrono::milliseconds(100);

}  // namespace

ReportQueue::ReportQueue(store::Database& database, Deliver deliver)
    : outbox_(database), attempts_(database), deliver_(std::move(deliver)), worker_("reports", 1, kMaxQueued) {}

ReportQueue::~ReportQueue() { stop(); }

void ReportQueue::stop() { stopping_ = true; }

void ReportQueue::post(std::function<void()> work) {
  if (!worker_.post(std::move(work))) log::error("runner", "the queue of reports is full; a report is lost");
}

// A full disk must not lose a report nor change the order: try until it works, say so once.
template <typename Work>
void ReportQueue::persistently(const char* what, Work work) {
  for (bool told = false;; told = true) {
    try {
      work();
      if (told) log::info("runner", "the runner's database works again");
      return;
    } catch (const std::exception& error) {
      if (!told) log::error("runner", "the runner's database fails; trying again", {{"action", what}, {"reason", error.what()}});
    }
    for (int i = 0; i < 10; ++i) {
      call_all();
      if (stopping_) throw Cancelled("storing a report was cancelled: the runner stops");
      std::this_thread::sleep_for(kRetryPause);
    }
  }
}

void ReportQueue::store_and_deliver(const TaskReport& report) {
  std::int64_t sequence = 0;
  persistently("store a report", [&] { sequence = outbox_.add(report); });
  if (live_generation_ != 0) deliver(live_generation_, sequence, report);
}

void ReportQueue::deliver(std::uint64_t generation, std::int64_t sequence, const TaskReport& report) {
  delivered_ = sequence;
  deliver_(generation, report_text(sequence, report));
}

void ReportQueue::add(TaskReport report) {
  post([this, report = std::move(report)] { store_and_deliver(report); });
}

void ReportQueue::after(std::function<void()> then) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(then));
  }
  if (!worker_.post([this] { call_next(); })) call_all();
}

bool ReportQueue::call_next() {
  std::function<void()> next;
  {
    const std::lock_guard lock(mutex_);
    if (waiting_.empty()) return false;
    next = std::move(waiting_.front());
    waiting_.pop_front();
  }
  next();
  return true;
}

void ReportQueue::finish(TaskReport report) {
  auto done = std::make_shared<std::promise<void>>();
  auto result = done->get_future();
  post([this, report = std::move(report), done] {
    try {
      store_and_deliver(report);
      // After the report: a crash in between makes the next run report it again, which is harmless.
      persistently("forget an attempt", [&] { attempts_.remove(report.id, report.attempt); });
      done->set_value();
    } catch (...) {
      done->set_exception(std::current_exception());
    }
  });
  done.reset();  // the queue's copy is the last: a queue that dies breaks the promise
  try {
    result.get();
  } catch (const std::future_error&) {
    throw Cancelled("storing a report was cancelled: the runner stops");
  }
}

void ReportQueue::replay(std::uint64_t generation) {
  post([this, generation] {
    live_generation_ = 0;
    // All at once: an acknowledgement may come later than the last of them is due.
    std::vector<store::Outbox::Entry> entries;
    persistently("read the outbox", [&] { entries = outbox_.pending(std::numeric_limits<int>::max()); });
    for (const auto& entry : entries) deliver(generation, entry.sequence, entry.report);
    deliver_(generation, synced_text());
    live_generation_ = generation;
  });
}

// Acknowledgements come in bursts; the worker takes the newest one and skips the rest.
void ReportQueue::acknowledge(std::int64_t sequence) {
  if (sequence > delivered_) {
    log::warning("runner", "the host acknowledged a report that it was never sent; ignored", {{"sequence", std::to_string(sequence)}});
    return;
  }
  auto before = acknowledged_.load();
  while (before < sequence && !acknowledged_.compare_exchange_weak(before, sequence)) {
  }
  if (!acknowledging_.exchange(true)) post([this] { run_acknowledge(); });
}

void ReportQueue::run_acknowledge() {
  acknowledging_ = false;
  persistently("forget acknowledged reports", [&] { outbox_.acknowledge(acknowledged_); });
}

}  // namespace riverbox::runner
