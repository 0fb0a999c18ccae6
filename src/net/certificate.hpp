// The certificate that a host makes for itself ([security] tls = "auto"): an authority of its own, which is known by its fingerprint and signs nothing else, and the
// certificate of the server, made again when it grows old or the host has got other names.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/config.hpp"
#include "net/fingerprint.hpp"

namespace riverbox::net {

struct CertificateFiles {
  std::filesystem::path certificate, key;
};

// In `folder`: ca.pem, ca.key, host.pem (with ca.pem after it), host.key; keys and folder readable by their owner only. Makes what is missing, what ends within a month,
// and what lacks one of `names` (host names and addresses). Blocking. Throws IoError, ConfigError for files that are none of ours.
CertificateFiles own_certificate(const std::filesystem::path& folder, const std::vector<std::string>& names);

// What [security] tls says: nothing, the files that are given, or our own in the state folder for every name this host goes by. Throws as above. For the host itself: it makes files.
std::optional<CertificateFiles> certificate_of(const Config& config);

// By what clients know this host: the authority of its own, or a given certificate that nobody else has signed. nullopt: one that is signed by others, whom clients have to trust, and
// whose other certificates are not this host's. Only reads. Throws ConfigError, also when the host has not made its own yet.
std::optional<Fingerprint> pin_of(const Config& config);

}  // namespace riverbox::net
