#include "host/version_keys.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/log.hpp"
#include "net/security.hpp"

namespace riverbox::host {
namespace {

// As a token is: random, written once, whole, for the owner alone.
SigningKey read_or_create_key(const std::filesystem::path& file) {
  try {
    return SigningKey::from_seed(net::read_or_create_token(file));
  } catch (const Error& error) {
    throw ConfigError("the key for signing versions cannot be used: " + error.fact(),
                      "It is " + file.string() + ". Without that file the next start makes a new key; versions stay valid as long as the old one is listed in version-keys beside it.");
  }
}

}  // namespace

VersionKeys::VersionKeys(const std::filesystem::path& state_dir)
    : key_(read_or_create_key(state_dir / "signing.key")), trusted_(std::make_shared<environment::TrustedKeys>(state_dir / "version-keys")) {
  auto keys = trusted_->all();
  if (std::find(keys.begin(), keys.end(), own()) == keys.end()) {
    keys.insert(keys.begin(), own());
    trusted_->replace(keys);
  }
  log::info("host", "versions are signed", {{"key", own().id()}, {"public", own().str()}, {"believed", std::to_string(keys.size())}});
}

}  // namespace riverbox::host
