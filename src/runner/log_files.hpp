// The two files on the share that hold a task's output. A share that fails never stops the task: writing stops, reading goes on,
// and problem() says what happened.
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
  // is written over instead of being cut off first, and readers never see the file shrink. Does not throw: see problem().
  LogFiles(std::shared_ptr<AttemptLog> log, bool keep);

  // The output is read from its first byte (again): what is written already is skipped, and a file that failed gets another chance.
  void begin_pass();
  void consume(bool is_stderr, std::string_view bytes);
  bool failed() const { return !files_[0].error.empty() || !files_[1].error.empty(); }
  // fsync and close. Idempotent.
  void close();
  // Empty, or the first error as a sentence for the user.
  std::string problem() const;

private:
  struct File {
    os::UniqueFd fd;
    std::uint64_t written = 0, seen = 0;
    std::string error;
  };
  void open(bool is_stderr, int extra_flags);
  void write(bool is_stderr, std::string_view bytes);
  std::shared_ptr<AttemptLog> log_;
  File files_[2];
};

}  // namespace riverbox::runner
