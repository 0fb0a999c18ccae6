#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "net/security.hpp"
#include "os/fd.hpp"
#include "os/folders.hpp"

namespace riverbox::net {
namespace fs = std::filesystem;

namespace {

constexpr size_t kTokenBytes = 32;       // of randomness, twice as many hex digits
constexpr size_t kMaxTokenBytes = 1024;  // of one that somebody else has made

bool is_token(std::string_view text) {
  if (text.empty() || text.size() > kMaxTokenBytes) return false;
  for (unsigned char c : text)
    if (c <= 0x20 || c >= 0x7f) return false;
  return true;
}

void make_folder(const fs::path& folder) {
  if (const auto error = os::make_private_folders(folder))
    throw IoError(fmt::format("create the folder {} for the token", folder.string()), error.value(), "Set security.token_file to a place that can be written.");
}

// The file appears whole and never replaces another. False: somebody else was quicker.
bool publish_new(const fs::path& temporary, const fs::path& path) {
  if (renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0) return true;
  if (errno == EEXIST) return false;
  // Some file systems know no such rename; a hard link does the same.
  if ((errno == EINVAL || errno == ENOSYS) && link(temporary.c_str(), path.c_str()) == 0) return true;
  if (errno == EEXIST) return false;
  throw IoError(fmt::format("create the token file {}", path.string()), errno);
}

struct RemoveAtEnd {
  fs::path path;
  ~RemoveAtEnd() { unlink(path.c_str()); }
};

// The token in a file beside, whole and durable. It is the caller's to remove.
fs::path temporary_token_file(const fs::path& path, const std::string& token) {
  make_folder(path.parent_path());
  const fs::path temporary = path.parent_path() / fmt::format(".{}.{}.{}", path.filename().string(), getpid(), random_hex(4));
  os::UniqueFd fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd)
    throw IoError(fmt::format("create the token file {}", path.string()), errno, "Set security.token_file to a place that can be written.");
  // The umask may have taken bits away, but a default ACL may also have added some.
  if (fchmod(fd.get(), 0600) != 0) throw IoError(fmt::format("protect the token file {}", path.string()), errno);
  os::write_all(fd.get(), token + "\n", temporary);
  os::sync_and_close(std::move(fd), temporary);
  return temporary;
}

}  // namespace

std::optional<std::string> read_token_file(const fs::path& path) {
  const std::string shown = path.string();
  // Not os::open_read: a missing file is an answer here, and O_NONBLOCK keeps a FIFO from hanging us.
  os::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  if (!fd)
    throw ConfigError(fmt::format("cannot read the token file {}: {}", shown, strerror(errno)),
                      "Run as the user who owns it, or give the token with RIVERBOX_TOKEN.");
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) throw IoError(fmt::format("look at the token file {}", shown), errno);
  if (!S_ISREG(info.st_mode)) throw ConfigError(fmt::format("the token file {} is not a file", shown), "Set security.token_file to a file.");
  if (info.st_mode & 077)
    throw ConfigError(fmt::format("others may use the token file {} (mode {:04o})", shown, info.st_mode & 07777),
                      fmt::format("Run: chmod 600 {}", shell_quoted(shown)));
  std::string bytes(kMaxTokenBytes + 3, '\0');
  const ssize_t size = read(fd.get(), bytes.data(), bytes.size());
  if (size < 0) throw IoError(fmt::format("read the token file {}", shown), errno);
  bytes.resize(static_cast<size_t>(size));
  std::string token(trim(bytes));
  if (!is_token(token))
    throw ConfigError(fmt::format("the token file {} does not hold a token", shown),
                      "It must hold one line of visible ASCII characters; remove it, and the next start of the host makes a new one.");
  return token;
}

void prepare_token_folder(const fs::path& file) {
  make_folder(file.parent_path());
  if (access(file.parent_path().c_str(), W_OK) != 0)
    throw IoError(fmt::format("create the token file {}", file.string()), errno, "Set paths.state_dir to a place that can be written.");
}

std::string read_or_create_token(const fs::path& path) {
  if (auto token = read_token_file(path)) return *token;
  const std::string token = random_hex(kTokenBytes);
  const RemoveAtEnd temporary{temporary_token_file(path, token)};
  if (publish_new(temporary.path, path)) return token;
  if (auto theirs = read_token_file(path)) return *theirs;
  throw IoError(fmt::format("read the token file {}", path.string()), ENOENT);
}

void write_token_file(const fs::path& path, const std::string& token) {
  const RemoveAtEnd temporary{temporary_token_file(path, token)};
  if (rename(temporary.path.c_str(), path.c_str()) != 0) throw IoError(fmt::format("create the token file {}", path.string()), errno);
}

std::string client_token(const Config& config) {
  if (!config.security.token.empty()) return config.security.token;
  if (config.security.token_file.empty()) return {};
  return read_token_file(config.security.token_file).value_or("");
}

}  // namespace riverbox::net
