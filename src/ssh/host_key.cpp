#include "ssh/host_key.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.hpp"
#include "base/log.hpp"
#include "os/atomic_file.hpp"
#include "os/fd.hpp"
#include "os/folders.hpp"

namespace riverbox::ssh {
namespace {

namespace fs = std::filesystem;
constexpr const char* kName = "host_ed25519_key";
constexpr size_t kMaxKeyBytes = 64 << 10;

Key parsed(const std::string& text) {
  ssh_key key = nullptr;
  if (ssh_pki_import_privkey_base64(text.c_str(), nullptr, nullptr, nullptr, &key) != SSH_OK) return nullptr;
  return Key(key);
}

std::string fingerprint_of(ssh_key key) {
  unsigned char* hash = nullptr;
  size_t size = 0;
  if (ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &size) != 0) return {};
  const Text text(ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, size));
  ssh_clean_pubkey_hash(&hash);
  return text ? text.get() : "";
}

HostKey read_key(const fs::path& path) {
  Key key = parsed(os::read_file(path, kMaxKeyBytes));
  if (!key) throw BadData("there is no host key in " + path.string() + " that can be read", "Remove it to have a new one made; clients will warn.");
  std::string fingerprint = fingerprint_of(key.get());
  return {std::move(key), path, std::move(fingerprint)};
}

std::string new_key() {
  ssh_key made = nullptr;
  if (ssh_pki_generate(SSH_KEYTYPE_ED25519, 0, &made) != SSH_OK) throw InternalError("cannot make a host key");
  const Key key(made);
  char* text = nullptr;
  if (ssh_pki_export_privkey_base64(key.get(), nullptr, nullptr, nullptr, &text) != SSH_OK) throw InternalError("cannot write down a new host key");
  const Text owned(text);
  return owned.get();
}

}  // namespace

HostKey load_host_key(const fs::path& folder, const fs::path& instead) {
  const fs::path path = folder / kName;
  if (::access(path.c_str(), F_OK) == 0) return read_key(path);
  if (!instead.empty() && ::access(instead.c_str(), R_OK) == 0) {
    try {
      return read_key(instead);
    } catch (const Error& error) {
      log::warning("ssh", error.what());
    }
  }
  if (const auto error = os::make_private_folders(folder)) throw IoError("make the folder " + folder.string(), error.value(), "--host-keys names another one.");
  // Two that start at once must agree on one key.
  const os::UniqueFd lock = os::open_at(folder, O_RDONLY | O_DIRECTORY);
  while (::flock(lock.get(), LOCK_EX) != 0 && errno == EINTR) {
  }
  if (::access(path.c_str(), F_OK) != 0) {
    os::write_atomically(path, new_key(), 0600);
    log::info("ssh", "made a host key", {{"path", path.string()}});
  }
  return read_key(path);
}

}  // namespace riverbox::ssh
