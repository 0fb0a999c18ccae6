// The SHA-256 of a certificate, by which a host is known whatever its address is.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace riverbox::net {

struct Fingerprint {
  std::array<std::uint8_t, 32> sha256{};

  // "sha256:" and 64 hex digits, as `riverbox host fingerprint` prints it, or with colons, as `openssl x509 -fingerprint -sha256` does. Throws InvalidInput.
  static Fingerprint parse(std::string_view text);
  std::string str() const;
  bool operator==(const Fingerprint&) const = default;
};

}  // namespace riverbox::net
