// Ed25519 signatures (RFC 8032, libcrypto). Keys and signatures are text: "ed25519:" and 64 lower-case hex digits, 128 hex digits. Pure, thread-safe.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace riverbox {

class PublicKey {
public:
  static PublicKey parse(std::string_view text);  // throws InvalidInput
  std::string str() const;
  // The first 16 hex digits of the SHA-256 of the key: names it where there may be several. Proves nothing.
  std::string id() const;
  bool verifies(std::string_view signature_hex, std::string_view message) const;  // false also for what is no signature
  bool operator==(const PublicKey&) const = default;

private:
  friend class SigningKey;
  explicit PublicKey(std::string bytes) : bytes_(std::move(bytes)) {}
  std::string bytes_;
};

class SigningKey {
public:
  // 32 random bytes, as 64 hex digits. Throws InvalidInput, which does not show them.
  static SigningKey from_seed(std::string_view hex);
  const PublicKey& public_key() const { return public_key_; }
  std::string sign(std::string_view message) const;  // 128 hex digits

private:
  SigningKey(std::string seed, PublicKey key) : seed_(std::move(seed)), public_key_(std::move(key)) {}
  std::string seed_;
  PublicKey public_key_;
};

}  // namespace riverbox
