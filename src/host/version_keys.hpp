// The key with which the host signs versions, and those that its runners believe (docs/archive-format.md, "Signatures").
#pragma once
#include <filesystem>
#include <memory>

#include "base/signature.hpp"
#include "environment/publish.hpp"
#include "environment/signatures.hpp"

namespace riverbox::host {

class VersionKeys {
public:
  // <state_dir>/signing.key, made by the first start and readable by its owner only, and <state_dir>/version-keys: that key's public half and those of
  // the keys before it. Throws ConfigError, IoError.
  explicit VersionKeys(const std::filesystem::path& state_dir);
  const PublicKey& own() const { return key_.public_key(); }
  const std::shared_ptr<environment::TrustedKeys>& trusted() const { return trusted_; }
  environment::Signature sign(const environment::EnvironmentName& name, std::int64_t version, const environment::Archive& archive) const {
    return environment::sign_version(key_, name, version, archive);
  }

private:
  const SigningKey key_;
  const std::shared_ptr<environment::TrustedKeys> trusted_;
};

}  // namespace riverbox::host
