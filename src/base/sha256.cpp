#include "base/sha256.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox {

void init_libcrypto() {
  // openssl.cnf may name providers that are shared objects, which a static program must not load.
  OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
}

struct Sha256::Impl {
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context{EVP_MD_CTX_new()};
};

Sha256::Sha256() : impl_(std::make_unique<Impl>()) {
  if (!impl_->context || EVP_DigestInit_ex(impl_->context.get(), EVP_sha256(), nullptr) != 1)
    throw InternalError("cannot start SHA-256: libcrypto refused");
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(std::string_view bytes) {
  if (EVP_DigestUpdate(impl_->context.get(), bytes.data(), bytes.size()) != 1)
    throw InternalError("cannot continue SHA-256: libcrypto refused");
}

Digest Sha256::finish() {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_DigestFinal_ex(impl_->context.get(), digest, &size) != 1)
    throw InternalError("cannot finish SHA-256: libcrypto refused");
  return Digest::parse(hex({reinterpret_cast<const char*>(digest), size}));
}

Digest Sha256::of(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

}  // namespace riverbox
