// What the host asks for about snapshots, done on workers of their own: neither the link nor another VPS ever waits for it. Thread-safe; only the destructor blocks.
#pragma once
#include <functional>
#include <string>

#include "os/worker_pool.hpp"
#include "runner/messages.hpp"
#include "runner/snapshots.hpp"
#include "runner/vps_publisher.hpp"

namespace riverbox::runner {

class SnapshotDesk {
public:
  // `say` takes a message for the host, on any thread.
  using Say = std::function<void(std::string message)>;
  SnapshotDesk(Snapshots& snapshots, VpsPublisher& publisher, Say say) : snapshots_(snapshots), publisher_(publisher), say_(std::move(say)) {}
  ~SnapshotDesk() { snapshots_.stop(); }

  // Answers it once, with progress before; not at all when the runner stops first.
  void take(SnapshotQuestion question);

private:
  SnapshotAnswer answer(const SnapshotQuestion& question);
  std::string publish(const SnapshotQuestion& question);

  Snapshots& snapshots_;
  VpsPublisher& publisher_;
  const Say say_;
  os::WorkerPool looking_{"snapshot lists", 4};
  os::WorkerPool taking_{"snapshots", 16};
};

}  // namespace riverbox::runner
