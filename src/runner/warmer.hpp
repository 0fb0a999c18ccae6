// Brings environments here before a task asks for them, and tells the host which versions this node holds. Thread-safe; only the destructor
// blocks.
#pragma once
#include <chrono>
#include <functional>
#include <list>
#include <mutex>
#include <string>

#include "base/cancel.hpp"
#include "os/worker_pool.hpp"
#include "runner/messages.hpp"

namespace riverbox::runner {

class Warmer {
public:
  // `say` takes a message for the host, on any thread.
  using Say = std::function<void(std::string message)>;
  Warmer(docker::Engine& engine, environment::Syncer& syncer, docker::Naming naming, std::chrono::seconds timeout, Say say);
  ~Warmer() { stop(); }

  // Answers it once, with progress before.
  void take(Sync order);
  // Tidies up after loads, looks what the daemon has, and tells the host.
  void look();
  // Takes nothing more; loads that are under way end without an image.
  void stop();

private:
  void bring(const Sync& order);
  environment::SyncResult ensure(const Sync& order, const CancelToken& token);

  docker::Engine& engine_;
  environment::Syncer& syncer_;
  const docker::Naming naming_;
  const std::chrono::seconds timeout_;
  const Say say_;
  std::mutex mutex_;
  std::list<CancelToken> running_;
  bool stopping_ = false;
  os::WorkerPool looker_{"holdings", 1, 1};  // a look that waits is as good as two
  os::WorkerPool urgent_{"syncs", 4};
  os::WorkerPool idle_{"idle syncs", 1};
};

}  // namespace riverbox::runner
