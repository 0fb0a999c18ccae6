// Child processes and this process. fork/exec only here.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace riverbox::os {

struct ProcessResult {
  int exit_code = 0;  // 128+n for a signal, 127 for "not found"
  std::string stdout_text, stderr_text;
};
// Runs to the end with empty stdin, output captured (at most 1 MB each), killed after `timeout`. Blocking.
ProcessResult run_process(const std::vector<std::string>& argv, std::chrono::milliseconds timeout);

std::string host_name();
// Must be the first call of main(): NSS pinned to "files dns" (a static glibc must not dlopen), OpenSSL without
// openssl.cnf, SIGPIPE ignored, malloc arenas bounded.
void init_runtime();
// What this process takes, by the kernel's word.
struct OwnProcess {
  std::uint64_t resident_bytes = 0, open_fds = 0;
  std::int64_t started_unix_seconds = 0;  // of init_runtime()
};
OwnProcess own_process();
// The calling thread comes after all others from now on, at the processor and at the disk. Best effort.
void make_this_thread_idle();
// Raises the soft limit of open files to the hard one.
void raise_file_limit();

}  // namespace riverbox::os
