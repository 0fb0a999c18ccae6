#include "net/fingerprint.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::net {
namespace {

constexpr std::string_view kAlgorithm = "sha256:";

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

Fingerprint Fingerprint::parse(std::string_view text) {
  std::string digits = to_lower(trim(text));
  if (digits.starts_with(kAlgorithm)) digits.erase(0, kAlgorithm.size());
  std::erase(digits, ':');
  Fingerprint print;
  bool good = digits.size() == 2 * print.sha256.size();
  for (size_t i = 0; good && i < print.sha256.size(); ++i) {
    const int high = hex_value(digits[2 * i]), low = hex_value(digits[2 * i + 1]);
    good = high >= 0 && low >= 0;
    if (good) print.sha256[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  if (!good)
    throw InvalidInput(fmt::format("\"{}\" is not the fingerprint of a certificate", printable(text, 120)), "It is sha256: and 64 hex digits; `riverbox host fingerprint` prints it on the host.");
  return print;
}

std::string Fingerprint::str() const {
  std::string text(kAlgorithm);
  for (const std::uint8_t byte : sha256) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace riverbox::net
