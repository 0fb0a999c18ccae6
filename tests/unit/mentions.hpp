// Whether a message says what it should; if it does not, the test shows what it says.
#pragma once

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace riverbox {

inline bool mentions(std::string_view text, std::string_view part) {
  if (text.find(part) != std::string_view::npos) return true;
  MESSAGE(std::string(text));
  return false;
}

}  // namespace riverbox
