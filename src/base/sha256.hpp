// Incremental SHA-256 with the processor's SHA instructions where there are any (libcrypto).
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "base/ids.hpp"

namespace riverbox {

class Sha256 {
public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(std::string_view bytes);
  Digest finish();  // once
  static Digest of(std::string_view bytes);

private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Before any other use of libcrypto or libcurl: keeps openssl.cnf out.
void init_libcrypto();

}  // namespace riverbox
