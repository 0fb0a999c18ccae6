#include "net/fingerprint.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::net {
namespace {

constexpr std::string_view kAlgorithm = "sha256:";

}  // namespace

Fingerprint Fingerprint::parse(std::string_view text) {
  std::string digits = to_lower(trim(text));
  if (digits.starts_with(kAlgorithm)) digits.erase(0, kAlgorithm.size());
  std::erase(digits, ':');
  const auto bytes = from_hex(digits);
  Fingerprint print;
  if (!bytes || bytes->size() != print.sha256.size())
    throw InvalidInput(fmt::format("\"{}\" is not the fingerprint of a certificate", printable(text, 120)), "It is sha256: and 64 hex digits; `riverbox host fingerprint` prints it on the host.");
  std::copy(bytes->begin(), bytes->end(), print.sha256.begin());
  return print;
}

std::string Fingerprint::str() const {
  return std::string(kAlgorithm) + hex({reinterpret_cast<const char*>(sha256.data()), sha256.size()});
}

}  // namespace riverbox::net
