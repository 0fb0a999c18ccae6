// The two files on the share that hold a task's output. A share that fails never stops the task: writing stops, reading goes on,
// and problem() says what happened. The same for output beyond the limit; there the file ends with a line that says so. What a file holds depends
// on the output alone, not on when or how often it was read: followers may count its bytes.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "os/fd.hpp"
#include "runner/log_hub.hpp"

namespace riverbox::runner {

class LogFiles {
public:
  // Creates folders and files (0644, never through a symlink). `keep`: what is there is the beginning of the same output, so it
  // is written over instead of being cut off first, and readers never see the file shrink. `max_bytes` of each stream are kept, 0: all.
  // Does not throw: see problem().
  LogFiles(std::shared_ptr<AttemptLog> log, bool keep, std::uint64_t max_bytes = 0);

  // The output is read from its first byte (again): what is written already is skipped, and a file that failed gets another chance.
  void begin_pass();
  void consume(bool is_stderr, std::string_view bytes);
  bool failed() const { return !files_[0].error.empty() || !files_[1].error.empty(); }
  // fsync and close. Idempotent.
  void close();
  // What the files lack and why, as a sentence for the user; or empty.
  std::string problem() const;

private:
  struct File {
    os::UniqueFd fd;
    std::uint64_t written = 0, seen = 0;  // `seen`: in this pass
    char last = '\n';                     // of those that are kept, as far as seen
    bool cut = false;                     // there was more than is kept
    std::string error;
  };
  void open(bool is_stderr, int extra_flags);
  void put(bool is_stderr, std::uint64_t offset, std::string_view bytes);
  void write(bool is_stderr, std::string_view bytes);
  std::shared_ptr<AttemptLog> log_;
  std::uint64_t max_bytes_;
  File files_[2];
};

}  // namespace riverbox::runner
