// Shared sessions as they stand in queries and in messages of the link (docs/terminal-protocol.md, "Sessions").
#pragma once
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace riverbox::terminal {

// ^[A-Za-z0-9._-]{1,64}$
class SessionName {
public:
  static SessionName parse(std::string_view text);  // Throws InvalidInput.
  const std::string& str() const { return text_; }
  auto operator<=>(const SessionName&) const = default;

private:
  explicit SessionName(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// How far a client has seen which session: "0123456789abcdef.4096".
struct SessionPlace {
  std::uint64_t session = 0;   // random: one that begins later under the same name has another
  std::uint64_t position = 0;  // in the output of its shell
  static SessionPlace parse(std::string_view text);  // Throws InvalidInput.
  std::string str() const;
};

struct SessionWish {
  SessionName name;
  bool watch = false;                      // what this client types goes nowhere
  bool fresh = false;                      // it must not be there yet
  std::optional<SessionPlace> resume = {}; // back in this one, or nowhere
};

// Of one that is there.
struct SessionFacts {
  std::string name;
  std::chrono::system_clock::time_point since;
  size_t clients = 0, watchers = 0;  // the watchers are clients, too
  std::uint16_t rows = 0, columns = 0;
};

}  // namespace riverbox::terminal
