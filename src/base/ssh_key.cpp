#include "base/ssh_key.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox {

namespace {

constexpr size_t kMaxLine = 16 << 10;
constexpr size_t kHalfBytes = 32;  // of an Ed25519 pair
constexpr std::string_view kEd25519 = "ssh-ed25519";
constexpr std::array<std::string_view, 7> kTypes{kEd25519, "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
                                                 "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"};

bool is_known(std::string_view word) { return std::find(kTypes.begin(), kTypes.end(), word) != kTypes.end(); }

// What looks like a type but is none that is taken: old ones and certificates.
bool is_other_type(std::string_view word) { return word.starts_with("ssh-") || word.starts_with("ecdsa-") || word.starts_with("sk-"); }

std::string_view take_word(std::string_view& rest) {
  const size_t end = std::min(rest.find_first_of(" \t"), rest.size());
  const std::string_view word = rest.substr(0, end);
  rest = trim(rest.substr(end));
  return word;
}

std::string u32(size_t number) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(number >> shift & 0xff);
  return out;
}

std::string field(std::string_view bytes) { return u32(bytes.size()) + std::string(bytes); }

// The first string of the blob is the type once more.
bool names_type(std::string_view blob, std::string_view type) { return blob.starts_with(field(type)); }

// PROTOCOL.key of OpenSSH, without a passphrase.
std::string openssh_text(const std::string& public_blob, const std::string& seed_and_public, const std::string& public_half, const std::string& comment) {
  std::string check(4, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(check.data()), 4) != 1) throw InternalError("there are no random numbers");
  std::string secret = check + check + field(kEd25519) + field(public_half) + field(seed_and_public) + field(comment);
  for (char padding = 1; secret.size() % 8 != 0; ++padding) secret += padding;
  const std::string all = std::string("openssh-key-v1\0", 15) + field("none") + field("none") + field("") + u32(1) + field(public_blob) + field(secret);
  const std::string text = base64(all);
  std::string out = "-----BEGIN OPENSSH PRIVATE KEY-----\n";
  for (size_t at = 0; at < text.size(); at += 70) out += text.substr(at, 70) + "\n";
  return out + "-----END OPENSSH PRIVATE KEY-----\n";
}

}  // namespace

SshPublicKey SshPublicKey::parse(std::string_view line) {
  if (line.size() > kMaxLine) throw InvalidInput("it is too long");
  if (line.find("PRIVATE KEY") != std::string_view::npos) throw InvalidInput("it is a private key", "Keep it to yourself; the public one is in the file that ends with .pub.");
  if (std::any_of(line.begin(), line.end(), [](unsigned char c) { return c < ' ' && c != '\t'; })) throw InvalidInput("it has control characters");
  std::string_view rest = trim(line);
  const std::string_view type = take_word(rest);
  if (!is_known(type))
    throw InvalidInput(is_other_type(type) ? "keys of type " + printable(type, 60) + " are not taken" : "it has options in front of the key, and those are not supported, or it is no key");
  const std::string_view text = take_word(rest);
  std::optional<std::string> blob = base64_decoded(text);
  if (text.empty() || !blob || !names_type(*blob, type)) throw InvalidInput("the key is damaged");
  return {std::string(type), std::move(*blob), std::string(rest)};
}

std::string SshPublicKey::line() const { return type + " " + base64(blob) + (comment.empty() ? "" : " " + comment); }

std::vector<SshPublicKey> parse_ssh_public_keys(std::string_view text) {
  std::vector<SshPublicKey> keys;
  for (const std::string& line : split(std::string(text), '\n'))
    if (const auto bare = trim(line); !bare.empty() && bare.front() != '#') keys.push_back(SshPublicKey::parse(bare));
  if (keys.empty()) throw InvalidInput("there is no key in it");
  return keys;
}

SshKeyPair SshKeyPair::make(const std::string& comment) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"), EVP_PKEY_free);
  std::string seed(kHalfBytes, '\0'), public_half(kHalfBytes, '\0');
  size_t seed_size = kHalfBytes, public_size = kHalfBytes;
  if (!key || EVP_PKEY_get_raw_private_key(key.get(), reinterpret_cast<unsigned char*>(seed.data()), &seed_size) != 1 ||
      EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(public_half.data()), &public_size) != 1)
    throw InternalError("cannot make an Ed25519 key");
  const std::string blob = field(kEd25519) + field(public_half), both = seed + public_half;
  return {{std::string(kEd25519), blob, comment}, openssh_text(blob, both, public_half, comment), field(kEd25519) + field(both)};
}

}  // namespace riverbox
