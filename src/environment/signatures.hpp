// Who vouches for a version: the host signs what an archive *is* (docs/archive-format.md, "Signatures"), and who loads one compares.
#pragma once
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/signature.hpp"
#include "environment/archive.hpp"
#include "environment/name.hpp"

namespace riverbox::environment {

// The bytes that are signed. One text for one version, and no other purpose of the key has such a text.
std::string signed_statement(const EnvironmentName& name, std::int64_t version, const Archive& archive);
Signature sign_version(const SigningKey& key, const EnvironmentName& name, std::int64_t version, const Archive& archive);

enum class SignatureState { valid, none, unknown_key, wrong };
std::string_view to_string(SignatureState state);  // "valid", "none", "unknown key", "wrong"

// The keys that are believed: the host's own and those it had before. Thread-safe.
class TrustedKeys {
public:
  // A file of this machine with a key in each line, which may be missing; empty: nothing is kept. Throws ConfigError for what is no key, IoError.
  explicit TrustedKeys(std::filesystem::path file = {});
  std::vector<PublicKey> all() const;
  // Durable on return. Throws IoError.
  void replace(std::vector<PublicKey> keys);
  // Of archive.signature, if this archive lies under this name.
  SignatureState examine(const EnvironmentName& name, std::int64_t version, const Archive& archive) const;

private:
  const std::filesystem::path file_;
  mutable std::mutex mutex_;
  std::vector<PublicKey> keys_;
};

enum class SignaturePolicy { off, warn, require };
SignaturePolicy parse_signature_policy(std::string_view word);  // as in the configuration; throws InvalidInput

// What is done about versions that nobody vouches for.
class SignatureGate {
public:
  SignatureGate() = default;  // everything may pass
  SignatureGate(SignaturePolicy policy, std::shared_ptr<const TrustedKeys> keys) : policy_(policy), keys_(std::move(keys)) {}
  bool requires_signature() const { return policy_ == SignaturePolicy::require; }
  // Throws BadData where a signature is required and is not valid for this archive under this name; says it in the log where a warning is wanted.
  void pass(const std::string& tarball, const Archive& archive) const;
  // Of an archive that came from the host's registry: of one that has no OCI manifest the host has made one up, and nobody has signed that. True: what was
  // signed is the image without it.
  bool is_signed_without_manifest(const std::string& tarball, const Archive& archive) const;

private:
  SignaturePolicy policy_ = SignaturePolicy::off;
  std::shared_ptr<const TrustedKeys> keys_;
};

}  // namespace riverbox::environment
