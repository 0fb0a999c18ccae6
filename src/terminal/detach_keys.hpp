// Finds the detach sequence in what is typed, byte by byte, also when it comes in several reads.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace riverbox::terminal {

class DetachMatcher {
public:
  explicit DetachMatcher(std::string keys);  // as parse_detach_keys() returns them; empty: never matches
  // Appends to `forward` what is certainly not part of the sequence. True: the sequence is complete, what follows it is dropped.
  bool feed(std::string_view bytes, std::string& forward);
  // What feed() holds back: the sequence was begun and may yet be completed.
  bool pending() const { return matched_ > 0; }
  std::string give_up();  // the held bytes; the sequence starts anew

private:
  std::string keys_;
  std::vector<size_t> fallback_;  // of a prefix: the length of its longest proper border (Knuth-Morris-Pratt)
  size_t matched_ = 0;
};

}  // namespace riverbox::terminal
