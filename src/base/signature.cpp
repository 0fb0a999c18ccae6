#include "base/signature.hpp"

#include <openssl/evp.h>

#include <memory>

#include "base/error.hpp"
#include "base/sha256.hpp"
#include "base/strings.hpp"

namespace riverbox {
namespace {

constexpr std::string_view kScheme = "ed25519:";
constexpr size_t kKeyBytes = 32, kSignatureBytes = 64, kIdDigits = 16;

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;
using Context = std::unique_ptr<EVP_MD_CTX, FreeKey>;

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

std::optional<std::string> bytes_from_hex(std::string_view text, size_t size) { return text.size() == 2 * size ? from_hex(text) : std::nullopt; }

Key private_key(const std::string& seed) {
  Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, bytes_of(seed), seed.size()));
  if (!key) throw InternalError("cannot use an Ed25519 key: libcrypto refused");
  return key;
}

}  // namespace

PublicKey PublicKey::parse(std::string_view text) {
  auto bytes = text.starts_with(kScheme) ? bytes_from_hex(text.substr(kScheme.size()), kKeyBytes) : std::nullopt;
  if (!bytes) throw InvalidInput("'" + printable(text, 100) + "' is no public key", "It is \"ed25519:\" and 64 hex digits.");
  return PublicKey(std::move(*bytes));
}

std::string PublicKey::str() const { return std::string(kScheme) + hex(bytes_); }

std::string PublicKey::id() const { return Sha256::of(bytes_).str().substr(std::string_view("sha256:").size(), kIdDigits); }

bool PublicKey::verifies(std::string_view signature_hex, std::string_view message) const {
  const auto signature = bytes_from_hex(signature_hex, kSignatureBytes);
  if (!signature) return false;
  const Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(bytes_), bytes_.size()));
  const Context context(EVP_MD_CTX_new());
  return key && context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), bytes_of(*signature), signature->size(), bytes_of(message), message.size()) == 1;
}

SigningKey SigningKey::from_seed(std::string_view text) {
  auto seed = bytes_from_hex(text, kKeyBytes);
  if (!seed) throw InvalidInput("the signing key is not 64 hex digits");
  std::string bytes(kKeyBytes, '\0');
  size_t size = bytes.size();
  if (EVP_PKEY_get_raw_public_key(private_key(*seed).get(), reinterpret_cast<unsigned char*>(bytes.data()), &size) != 1 || size != kKeyBytes)
    throw InternalError("cannot use an Ed25519 key: libcrypto refused");
  return {std::move(*seed), PublicKey(std::move(bytes))};
}

std::string SigningKey::sign(std::string_view message) const {
  const Key key = private_key(seed_);
  const Context context(EVP_MD_CTX_new());
  std::string signature(kSignatureBytes, '\0');
  size_t size = signature.size();
  if (!context || EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes_of(message), message.size()) != 1 || size != kSignatureBytes)
    throw InternalError("cannot sign: libcrypto refused");
  return hex(signature);
}

}  // namespace riverbox
