#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/error.hpp"
#include "os/fd.hpp"
#include "ssh/host_key.hpp"
#include "ssh/login.hpp"

using namespace riverbox;
using namespace riverbox::ssh;
namespace fs = std::filesystem;

namespace {

struct Folder {
  fs::path path = fs::temp_directory_path() / ("rb-ssh-" + std::to_string(::getpid()));
  Folder() { fs::create_directories(path); }
  ~Folder() { fs::remove_all(path); }
};

unsigned mode_of(const fs::path& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 07777u : 0;
}

}  // namespace

TEST_CASE("host key: made once, for its owner only, and then the same") {
  const Folder folder;
  const fs::path keys = folder.path / "ssh";
  const HostKey first = load_host_key(keys, "");
  CHECK(first.fingerprint.starts_with("SHA256:"));
  CHECK(mode_of(keys) == 0700);
  CHECK(mode_of(first.path) == 0600);
  CHECK(load_host_key(keys, "").fingerprint == first.fingerprint);
}

TEST_CASE("host key: that of OpenSSH, until there is one of our own") {
  const Folder folder;
  const HostKey openssh = load_host_key(folder.path / "a", "");
  CHECK(load_host_key(folder.path / "b", openssh.path).fingerprint == openssh.fingerprint);
  CHECK_FALSE(fs::exists(folder.path / "b"));
  const HostKey own = load_host_key(folder.path / "b", folder.path / "none");
  CHECK(own.fingerprint != openssh.fingerprint);
  CHECK(load_host_key(folder.path / "b", openssh.path).fingerprint == own.fingerprint);
  // what is there and no key is not used
  std::ofstream(folder.path / "broken") << "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n";
  CHECK(load_host_key(folder.path / "c", folder.path / "broken").path == folder.path / "c/host_ed25519_key");
  std::ofstream(own.path) << "x";
  CHECK_THROWS_AS(load_host_key(folder.path / "b", ""), BadData);
}

TEST_CASE("login: keys in files that only the user and root can write") {
  const Folder folder;
  const std::string file = folder.path / "authorized_keys";
  const std::string key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGtra2tra2tra2tra2tra2tra2tra2tra2tra2tra2tr";
  std::ofstream(file) << key << "\n";
  std::string blob("\0\0\0\x0bssh-ed25519\0\0\0\x20", 19);
  blob += std::string(32, 'k');
  const os::User user = os::own_user();
  const LoginRules rules{.key_files = {"/nonexistent/keys", file}, .no_auth = false};
  ::chmod(file.c_str(), 0644);
  CHECK(is_authorized(rules, user, blob));
  CHECK_FALSE(is_authorized(rules, user, blob + "k"));
  CHECK_FALSE(is_authorized(rules, user, ""));
  for (const mode_t others : {0664u, 0646u}) {
    ::chmod(file.c_str(), others);
    CHECK_FALSE(is_authorized(rules, user, blob));
  }
  ::chmod(file.c_str(), 0600);
  os::User at_home = user;
  at_home.home = folder.path;
  CHECK(is_authorized({.key_files = {"~/authorized_keys"}, .no_auth = false}, at_home, blob));
  fs::remove(file);
  REQUIRE(::mkfifo(file.c_str(), 0600) == 0);
  CHECK_FALSE(is_authorized(rules, user, blob));  // and nobody waits
}
