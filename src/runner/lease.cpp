#include "runner/lease.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <time.h>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"

namespace riverbox::runner {
namespace {

constexpr std::chrono::seconds kFirstTry{10};  // of a run, to reach the host
constexpr size_t kMaxBytes = 200;

// Another one with every start of the machine, before which our clock means nothing.
std::string boot_id() {
  try {
    return std::string(trim(os::read_file("/proc/sys/kernel/random/boot_id", kMaxBytes)));
  } catch (const Error&) {
    return "unknown";
  }
}

}  // namespace

Lease::Time Lease::now() {
  timespec time{};
  ::clock_gettime(CLOCK_BOOTTIME, &time);
  return std::chrono::duration_cast<Time>(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
}

Lease::Lease(std::filesystem::path file, Time start) : file_(std::move(file)), start_(start), heard_(start) {
  try {
    fd_ = os::open_at(file_, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const auto words = split(trim(os::read_file(file_, kMaxBytes)), ' ');
    if (words.size() != 2 || words[0] != boot_id()) return;
    if (const auto then = parse_u64(words[1]); then && Time(static_cast<std::int64_t>(*then)) < start) heard_ = Time(static_cast<std::int64_t>(*then));
  } catch (const Error& error) {
    log::warning("runner", "the last word of the host is not remembered", {{"reason", error.fact()}});
  }
}

void Lease::heard(Time sent, Time now) {
  if (sent > now || sent <= heard_) return;
  heard_ = sent;
  remember();
}

// Not synced: it need not outlive the machine. Always of the same length, so that nothing of the one before is left.
void Lease::remember() {
  if (!fd_) return;
  try {
    os::pwrite_all(fd_.get(), fmt::format("{} {:020}\n", boot_id(), heard_.count()), 0, file_);
  } catch (const Error& error) {
    if (!std::exchange(told_, true)) log::warning("runner", "the last word of the host is not remembered", {{"reason", error.fact()}});
  }
}

std::chrono::seconds Lease::silence(Time now) const {
  if (heard_ <= start_ && now - start_ < kFirstTry) return {};
  return std::chrono::duration_cast<std::chrono::seconds>(now - heard_);
}

}  // namespace riverbox::runner
