#include "base/log.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "base/strings.hpp"
#include "base/time.hpp"

namespace riverbox::log {

struct Fact {
  Field field;
  Context outer;
};

namespace {

thread_local Context current;

constexpr size_t kMaxValueBytes = 4000;  // a runaway value must not push the rest of the log away

Level level_from_environment() {
  const char* text = std::getenv("RIVERBOX_LOG");
  const std::string name = text ? to_lower(text) : "";
  if (name == "debug") return Level::debug;
  if (name == "warning") return Level::warning;
  if (name == "error") return Level::error;
  return Level::info;
}

std::atomic<Level>& threshold() {
  static std::atomic<Level> level{level_from_environment()};
  return level;
}

std::string_view level_name(Level level) {
  switch (level) {
    case Level::debug: return "debug";
    case Level::info: return "info";
    case Level::warning: return "warning";
    case Level::error: return "error";
  }
  return "info";
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : valid_utf8(text)) {
    if (c == '"' || c == '\\') out += '\\', out += c;
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    else out += c;
  }
  return out + "\"";
}

using Fields = std::vector<const Field*>;

// Those of the line, then what the thread is busy with.
Fields all_fields(std::initializer_list<Field> own) {
  Fields all;
  for (const Field& field : own) all.push_back(&field);
  for (const Fact* fact = current.get(); fact; fact = fact->outer.get()) {
    bool told = false;
    for (const Field* field : all) told = told || field->key == fact->field.key;
    if (!told) all.push_back(&fact->field);
  }
  return all;
}

std::string json_line(Level level, std::string_view component, std::string_view message, const Fields& fields) {
  std::string line = fmt::format(R"({{"time":"{}","level":"{}","component":{},"message":{})", to_rfc3339(wall_now()),
                                 level_name(level), json_string(component), json_string(message));
  for (const Field* field : fields) line += fmt::format(",{}:{}", json_string(field->key), json_string(field->value.substr(0, kMaxValueBytes)));
  return line + "}\n";
}

std::string text_line(Level level, std::string_view component, std::string_view message, const Fields& fields) {
  static constexpr std::string_view kNames[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  std::string line = fmt::format("{:02}:{:02}:{:02} {} {}: {}", local.tm_hour, local.tm_min, local.tm_sec,
                                 kNames[static_cast<int>(level)], component, printable(message, kMaxValueBytes));
  for (const Field* field : fields) {
    const std::string value = printable(field->value, kMaxValueBytes);
    const bool quote = value.empty() || value.find_first_of(" \"=") != std::string::npos;
    line += quote ? fmt::format(" {}=\"{}\"", field->key, value) : fmt::format(" {}={}", field->key, value);
  }
  return line + "\n";
}

}  // namespace

void set_level(Level level) { threshold() = level; }
bool enabled(Level level) { return level >= threshold(); }

Context context() { return current; }
Scope::Scope(std::string_view key, std::string value) : before_(current) { current = std::make_shared<const Fact>(Fact{{key, std::move(value)}, before_}); }
Scope::Scope(Context context) : before_(std::exchange(current, std::move(context))) {}
Scope::~Scope() { current = std::move(before_); }

void write(Level level, std::string_view component, std::string_view message, std::initializer_list<Field> own_fields) {
  if (!enabled(level)) return;
  static const bool terminal = ::isatty(STDERR_FILENO) == 1;
  const int saved_errno = errno;
  const Fields fields = all_fields(own_fields);
  const std::string line = terminal ? text_line(level, component, message, fields) : json_line(level, component, message, fields);
  // One call per line keeps lines of threads and processes whole. There is nobody to tell when it fails.
  [[maybe_unused]] const ssize_t n = ::write(STDERR_FILENO, line.data(), line.size());
  errno = saved_errno;
}

}  // namespace riverbox::log
