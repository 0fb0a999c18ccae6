#include "environment/signatures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "environment/share.hpp"
#include "os/atomic_file.hpp"

namespace riverbox::environment {
namespace {

constexpr size_t kMaxKeysBytes = 64u << 10;

std::vector<PublicKey> parse_keys(const std::string& text, const std::filesystem::path& file) {
  std::vector<PublicKey> keys;
  size_t number = 0;
  for (const std::string& line : split(text, '\n')) {
    ++number;
    const std::string_view words = trim(std::string_view(line).substr(0, line.find('#')));
    if (words.empty()) continue;
    try {
      keys.push_back(PublicKey::parse(words));
    } catch (const InvalidInput& error) {
      throw ConfigError(fmt::format("{}:{}: {}", file.string(), number, error.fact()), error.next());
    }
  }
  return keys;
}

std::string complaint_about(SignatureState state, const Archive& archive, bool knows_keys) {
  if (state == SignatureState::none) return "it is not signed by the host";
  if (state == SignatureState::wrong) return "its signature is not of this image under this name: somebody has changed, renamed or exchanged it";
  if (!knows_keys) return "no key of the host is known here yet";
  return fmt::format("it is signed with the key {}, which is not the host's", printable(archive.signature->key_id, 32));
}

}  // namespace

std::string signed_statement(const EnvironmentName& name, std::int64_t version, const Archive& archive) {
  std::string text = fmt::format("riverbox version 1\nenvironment {}\nversion {}\nconfig {}\nmanifest {}\n", name.str(), version, archive.config_digest,
                                 archive.manifest_digest.empty() ? "none" : archive.manifest_digest);
  for (const std::string& diff_id : archive.identity.diff_ids) text += fmt::format("layer {}\n", diff_id);
  return text;
}

Signature sign_version(const SigningKey& key, const EnvironmentName& name, std::int64_t version, const Archive& archive) {
  return {key.public_key().id(), key.sign(signed_statement(name, version, archive))};
}

std::string_view to_string(SignatureState state) {
  switch (state) {
    case SignatureState::valid: return "valid";
    case SignatureState::none: return "none";
    case SignatureState::unknown_key: return "unknown key";
    case SignatureState::wrong: break;
  }
  return "wrong";
}

TrustedKeys::TrustedKeys(std::filesystem::path file) : file_(std::move(file)) {
  if (file_.empty()) return;
  try {
    keys_ = parse_keys(os::read_beneath(file_, kMaxKeysBytes), file_);
  } catch (const IoError& error) {
    if (error.error_number() != ENOENT) throw;
  }
}

std::vector<PublicKey> TrustedKeys::all() const {
  const std::lock_guard lock(mutex_);
  return keys_;
}

void TrustedKeys::replace(std::vector<PublicKey> keys) {
  {
    const std::lock_guard lock(mutex_);
    if (keys == keys_) return;
    keys_ = keys;
  }
  if (file_.empty()) return;
  std::string text = "# Whose signatures of versions are believed here, one key in each line.\n";
  for (const PublicKey& key : keys) text += key.str() + "\n";
  os::write_atomically(file_, text);
}

SignatureState TrustedKeys::examine(const EnvironmentName& name, std::int64_t version, const Archive& archive) const {
  if (!archive.signature) return SignatureState::none;
  const auto keys = all();
  const auto key = std::find_if(keys.begin(), keys.end(), [&](const PublicKey& each) { return each.id() == archive.signature->key_id; });
  if (key == keys.end()) return archive.signature->value.empty() ? SignatureState::wrong : SignatureState::unknown_key;
  return key->verifies(archive.signature->value, signed_statement(name, version, archive)) ? SignatureState::valid : SignatureState::wrong;
}

SignaturePolicy parse_signature_policy(std::string_view word) {
  if (word == "off") return SignaturePolicy::off;
  if (word == "warn") return SignaturePolicy::warn;
  if (word == "require") return SignaturePolicy::require;
  throw InvalidInput(fmt::format("'{}' says nothing about signatures", printable(word, 40)), "It is require, warn or off.");
}

void SignatureGate::pass(const std::string& tarball, const Archive& archive) const {
  if (policy_ == SignaturePolicy::off) return;
  const auto named = Share::parse_file_name(tarball);
  if (!named) throw BadData(fmt::format("'{}' is no version of an environment", printable(tarball, 200)));
  const auto state = keys_->examine(named->first, named->second, archive);
  if (state == SignatureState::valid) return;
  const std::string reason = complaint_about(state, archive, !keys_->all().empty());
  if (policy_ == SignaturePolicy::warn)
    return log::warning("environment", "nobody vouches for a version; it is loaded all the same ([security] signatures = \"warn\")", {{"archive", tarball}, {"reason", reason}});
  throw BadData(fmt::format("archive '{}' is refused: {}, and this node requires that ([security] signatures)", tarball, reason),
                fmt::format("Look where it comes from. If it is good, on the host: riverbox docker sign {} {}", named->first.str(), named->second));
}

bool SignatureGate::is_signed_without_manifest(const std::string& tarball, const Archive& archive) const {
  const auto named = Share::parse_file_name(tarball);
  if (policy_ == SignaturePolicy::off || !named || archive.manifest_digest.empty() || !archive.signature) return false;
  Archive bare = archive;
  bare.manifest_digest.clear();
  return keys_->examine(named->first, named->second, archive) == SignatureState::wrong && keys_->examine(named->first, named->second, bare) == SignatureState::valid;
}

}  // namespace riverbox::environment
