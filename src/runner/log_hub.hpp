// The output of attempts as it grows: written by one thread, followed by any number of streams. Thread-safe, no lock is held
// across I/O, nothing polls.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "os/beneath.hpp"
#include "runner/attempt_id.hpp"

namespace riverbox::runner {

// How much of the two files of one attempt is readable.
class AttemptLog {
public:
  AttemptLog(os::Place stdout_file, os::Place stderr_file);

  struct View {
    std::uint64_t size_bytes[2] = {0, 0};  // stdout, stderr
    bool finished = false;                 // nothing more comes
  };
  View view() const;
  const os::Place& file(bool is_stderr) const { return files_[is_stderr]; }

  void grown(bool is_stderr, std::uint64_t size_bytes);
  void finish();

  // `listener` is called on the writer's thread after each change, for as long as the returned handle lives (and perhaps
  // once more after that). It must not block.
  using Listener = std::function<void()>;
  std::shared_ptr<Listener> subscribe(Listener listener);

private:
  void notify();
  const os::Place files_[2];
  mutable std::mutex mutex_;
  View view_;
  std::vector<std::weak_ptr<Listener>> listeners_;
};

// Which logs there are: of every attempt that runs and of the last ones that ran.
class LogHub {
public:
  std::shared_ptr<AttemptLog> open(const AttemptId& id, os::Place stdout_file, os::Place stderr_file);
  std::shared_ptr<AttemptLog> find(const AttemptId& id) const;  // null: unknown
  void finish(const AttemptId& id);                             // unknown: nothing

private:
  static constexpr size_t kRemembered = 512;
  mutable std::mutex mutex_;
  std::map<AttemptId, std::shared_ptr<AttemptLog>> logs_;
  std::deque<AttemptId> finished_;
};

}  // namespace riverbox::runner
