// Identifiers. Parse, don't validate: code below the edge never sees a raw string or number for these.
#pragma once
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

namespace riverbox {

// 64-bit snowflake: (unix milliseconds << 22) | (instance << 12) | sequence. JSON carries it as a string, because
// JavaScript loses integers above 2^53.
class TaskId {
public:
  TaskId() = default;
  explicit TaskId(std::uint64_t value) : value_(value) {}
  // Throws InvalidInput.
  static TaskId parse(std::string_view text);
  // Strictly increasing within the process, also when the clock steps back. Thread-safe.
  static TaskId next();
  std::uint64_t value() const { return value_; }
  std::string str() const { return std::to_string(value_); }
  auto operator<=>(const TaskId&) const = default;

private:
  std::uint64_t value_ = 0;
};

// A content digest, always "sha256:" and 64 lower-case hex digits.
class Digest {
public:
  // Accepts "sha256:<hex>" and bare "<hex>". Throws InvalidInput.
  static Digest parse(std::string_view text);
  static bool is_valid(std::string_view text);
  const std::string& str() const { return text_; }                       // with "sha256:"
  std::string hex() const { return text_.substr(7); }
  std::string short_hex() const { return text_.substr(7, 12); }
  auto operator<=>(const Digest&) const = default;

private:
  explicit Digest(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// The name of a machine with a runner: ^[A-Za-z0-9]([A-Za-z0-9._-]{0,252})$.
class NodeName {
public:
  static NodeName parse(std::string_view text);  // Throws InvalidInput.
  const std::string& str() const { return text_; }
  auto operator<=>(const NodeName&) const = default;

private:
  explicit NodeName(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

}  // namespace riverbox
