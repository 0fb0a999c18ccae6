#include "base/ids.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox {
namespace {

constexpr size_t kHexLength = 64;

bool is_lower_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

}  // namespace

TaskId TaskId::parse(std::string_view text) {
  const auto value = parse_u64(text);
  if (!value || *value == 0)
    throw InvalidInput("\"" + printable(text, 60) + "\" is not a task id", "A task id is a number such as 7311204582023168000.");
  return TaskId(*value);
}

TaskId TaskId::next() {
  static std::atomic<std::uint64_t> last{0};
  // The process id keeps the ids of a restarted host apart when its clock has stepped back.
  static const std::uint64_t instance = static_cast<std::uint64_t>(::getpid()) & 1023;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto milliseconds = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
  const std::uint64_t fresh = (milliseconds << 22) | (instance << 12);
  std::uint64_t previous = last.load();
  std::uint64_t chosen = 0;
  do {
    chosen = std::max(fresh, previous + 1);
  } while (!last.compare_exchange_weak(previous, chosen));
  return TaskId(chosen);
}

bool Digest::is_valid(std::string_view text) {
  constexpr std::string_view kAlgorithm = "sha256:";
  if (text.starts_with(kAlgorithm)) text.remove_prefix(kAlgorithm.size());
  return text.size() == kHexLength && is_lower_hex(text);
}

Digest Digest::parse(std::string_view text) {
  if (!is_valid(text))
    throw InvalidInput("\"" + printable(text, 100) + "\" is not a digest (sha256: and 64 lower-case hexadecimal digits)");
  return Digest(text.size() == kHexLength ? "sha256:" + std::string(text) : std::string(text));
}

NodeName NodeName::parse(std::string_view text) {
  const bool valid = !text.empty() && text.size() <= 253 && is_name_start(text.front()) &&
                     std::all_of(text.begin(), text.end(), [](char c) { return is_name_start(c) || c == '.' || c == '_' || c == '-'; });
  if (!valid)
    throw InvalidInput("\"" + printable(text, 60) + "\" is not a node name",
                       "A node name has letters, digits, dots, underscores and hyphens, begins with a letter or digit and has at most 253 characters.");
  return NodeName(std::string(text));
}

}  // namespace riverbox
