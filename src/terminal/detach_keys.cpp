#include "terminal/detach_keys.hpp"

#include <fmt/format.h>

#include <utility>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "terminal/client.hpp"

namespace riverbox::terminal {
namespace {

[[noreturn]] void refuse_key(std::string_view key, std::string_view all) {
  throw UsageError(fmt::format("\"{}\" in the detach keys \"{}\" is not a key", printable(key), printable(all)),
                   "Write one character, or ctrl- and one of a-z @ [ \\ ] ^ _, separated by commas, as in \"ctrl-p,ctrl-q\".");
}

char parse_key(std::string_view key, std::string_view all) {
  if (key.size() == 1 && static_cast<unsigned char>(key[0]) < 0x80) return key[0];
  if (key.size() != 6 || to_lower(key.substr(0, 5)) != "ctrl-") refuse_key(key, all);
  char c = key[5];
  if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (c >= 'a' && c <= 'z') return static_cast<char>(c - 'a' + 1);
  if (c == '@') return '\0';
  if (c >= '[' && c <= '_') return static_cast<char>(c - '@');
  refuse_key(key, all);
}

}  // namespace

std::string parse_detach_keys(const std::string& text) {
  std::string keys;
  for (const std::string& key : split(text, ',')) keys.push_back(parse_key(key, text));
  return keys;
}

DetachMatcher::DetachMatcher(std::string keys) : keys_(std::move(keys)), fallback_(keys_.size() + 1, 0) {
  for (size_t i = 1, border = 0; i < keys_.size(); ++i) {
    while (border > 0 && keys_[i] != keys_[border]) border = fallback_[border];
    if (keys_[i] == keys_[border]) ++border;
    fallback_[i + 1] = border;
  }
}

bool DetachMatcher::feed(std::string_view bytes, std::string& forward) {
  if (keys_.empty()) {
    forward += bytes;
    return false;
  }
  for (char c : bytes) {
    while (matched_ > 0 && c != keys_[matched_]) {
      size_t shorter = fallback_[matched_];
      forward.append(keys_, 0, matched_ - shorter);
      matched_ = shorter;
    }
    if (c != keys_[matched_]) forward.push_back(c);
    else if (++matched_ == keys_.size()) {
      matched_ = 0;
      return true;
    }
  }
  return false;
}

std::string DetachMatcher::give_up() { return keys_.substr(0, std::exchange(matched_, 0)); }

}  // namespace riverbox::terminal
