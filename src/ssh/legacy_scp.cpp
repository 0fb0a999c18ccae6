#include "ssh/legacy_scp.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "os/atomic_file.hpp"
#include "os/fd.hpp"
#include "ssh/scp_line.hpp"

namespace riverbox::ssh {
namespace {

namespace fs = std::filesystem;
constexpr size_t kPiece = 64 << 10, kMaxLine = 8 << 10;
constexpr char kGood = 0, kWarning = 1, kFatal = 2;

struct Options {
  bool sink = false, source = false, recursive = false, keep_times = false, must_be_folder = false;
  std::vector<std::string> paths;
};

// The stream ended or made no sense: there is nobody to tell it to.
struct Lost {};

class Wire {
public:
  char byte() {
    if (at_ == end_) fill();
    return buffer_[at_++];
  }
  std::string line(char first) {
    std::string text(1, first);
    while (text.back() != '\n') {
      if (text.size() > kMaxLine) throw Lost{};
      text += byte();
    }
    text.pop_back();
    return text;
  }
  // Up to `most` of what is there, one byte at least.
  std::string_view some(std::uint64_t most) {
    if (at_ == end_) fill();
    const size_t size = static_cast<size_t>(std::min<std::uint64_t>(most, end_ - at_));
    return {buffer_.data() + std::exchange(at_, at_ + size), size};
  }
  static void send(std::string_view bytes) { os::write_all(STDOUT_FILENO, bytes, "the scp client"); }
  static void good() { send({&kGood, 1}); }
  void complain(const std::string& what) {
    failed_ = true;
    send(kWarning + ("scp: " + what + "\n"));
  }
  void complain(const fs::path& path, int error) { complain(path.string() + ": " + std::strerror(error)); }
  // False: the other end does not want it.
  bool agreed() {
    const char answer = byte();
    if (answer == kGood) return true;
    line(' ');  // it tells its user itself
    failed_ = true;
    if (answer == kFatal) throw Lost{};
    return false;
  }
  bool failed() const { return failed_; }

private:
  void fill() {
    ssize_t n;
    while ((n = ::read(STDIN_FILENO, buffer_.data(), buffer_.size())) < 0 && errno == EINTR) {
    }
    if (n <= 0) throw Lost{};
    at_ = 0;
    end_ = static_cast<size_t>(n);
  }
  std::array<char, kPiece> buffer_;
  size_t at_ = 0, end_ = 0;
  bool failed_ = false;
};

// ---- to the client

class Source {
public:
  Source(Wire& wire, const Options& options) : wire_(wire), options_(options) {}
  void send(const fs::path& path) {
    const os::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    struct stat info {};
    if (!fd || ::fstat(fd.get(), &info) != 0) return wire_.complain(path, errno);
    const std::string name = path.filename().empty() ? path.parent_path().filename() : path.filename();
    if (name.find('\n') != std::string::npos) return wire_.complain("a name with a line break cannot be told");
    if (S_ISDIR(info.st_mode) && options_.recursive) return send_folder(path, name, info);
    if (!S_ISREG(info.st_mode)) return wire_.complain(path.string() + ": not a regular file");
    if (!announce_times(info)) return;
    Wire::send(fmt::format("C{:04o} {} {}\n", info.st_mode & 07777u, info.st_size, name));
    if (wire_.agreed()) send_content(fd.get(), path, static_cast<std::uint64_t>(info.st_size));
  }

private:
  bool announce_times(const struct stat& info) {
    if (!options_.keep_times) return true;
    Wire::send(fmt::format("T{} 0 {} 0\n", info.st_mtime, info.st_atime));
    return wire_.agreed();
  }
  // As many bytes as announced, whatever becomes of the file.
  void send_content(int fd, const fs::path& path, std::uint64_t left) {
    std::string piece(kPiece, '\0');
    int error = 0;
    while (left > 0) {
      const size_t wanted = static_cast<size_t>(std::min<std::uint64_t>(left, kPiece));
      const ssize_t n = error ? 0 : ::read(fd, piece.data(), wanted);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0 && !error) {
        error = n < 0 ? errno : EIO;  // it has become shorter
        std::fill(piece.begin(), piece.end(), '\0');
      }
      const size_t size = n > 0 ? static_cast<size_t>(n) : wanted;
      Wire::send(std::string_view(piece).substr(0, size));
      left -= size;
    }
    if (error) wire_.complain(path, error);
    else Wire::good();
    wire_.agreed();
  }
  void send_folder(const fs::path& path, const std::string& name, const struct stat& info) {
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path.c_str()), ::closedir);
    if (!folder) return wire_.complain(path, errno);
    if (!announce_times(info)) return;
    Wire::send(fmt::format("D{:04o} 0 {}\n", info.st_mode & 07777u, name));
    if (!wire_.agreed()) return;
    while (const dirent* entry = ::readdir(folder.get()))
      if (const std::string_view child = entry->d_name; child != "." && child != "..") send(path / child);
    Wire::send("E\n");
    wire_.agreed();
  }
  Wire& wire_;
  const Options& options_;
};

// ---- from the client

class Sink {
public:
  Sink(Wire& wire, const Options& options) : wire_(wire), options_(options) {}
  // What comes for `target`, until the end of this folder or of all.
  void receive(const fs::path& target, bool top) {
    std::optional<std::array<timespec, 2>> times;
    for (;;) {
      std::string line;
      try {
        line = wire_.line(wire_.byte());
      } catch (const Lost&) {
        if (top) return;
        throw;
      }
      if (line[0] == kWarning || line[0] == kFatal) continue;  // the client tells its user itself
      if (line[0] == 'E' && !top) return Wire::good();
      if (line[0] == 'T') {
        times = times_of(line);
        Wire::good();
        continue;
      }
      const auto entry = parse_scp_entry(line);
      if (!entry || (line[0] == 'D' && !options_.recursive)) {
        wire_.complain("what the client sent makes no sense");
        throw Lost{};
      }
      std::error_code ignored;
      const fs::path path = fs::is_directory(target, ignored) ? target / entry->name : target;
      if (line[0] == 'D') receive_folder(path, *entry, times);
      else receive_file(path, *entry, times);
      times.reset();
    }
  }

private:
  using Times = std::optional<std::array<timespec, 2>>;
  static Times times_of(std::string_view line) {
    const auto times = parse_scp_times(line);
    if (!times) throw Lost{};
    return std::array<timespec, 2>{timespec{times->used, 0}, timespec{times->modified, 0}};
  }
  void receive_folder(const fs::path& path, const ScpEntry& entry, const Times& times) {
    // Writable for us until it is filled.
    struct stat info {};
    const bool is_there = ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
    if (!is_there && ::mkdir(path.c_str(), entry.mode | S_IRWXU) != 0) return wire_.complain(path, errno);
    Wire::good();
    receive(path, false);
    if (options_.keep_times || !is_there) ::chmod(path.c_str(), entry.mode);
    if (times) ::utimensat(AT_FDCWD, path.c_str(), times->data(), 0);
  }
  void receive_file(const fs::path& path, const ScpEntry& entry, const Times& times) {
    const os::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY, entry.mode));
    if (!fd) return wire_.complain(path, errno);
    Wire::good();
    int error = 0;
    for (std::uint64_t left = entry.size; left > 0;) {
      std::string_view piece = wire_.some(left);
      left -= piece.size();
      while (!error && !piece.empty()) {
        const ssize_t n = ::write(fd.get(), piece.data(), piece.size());
        if (n < 0 && errno != EINTR) error = errno;
        if (n > 0) piece.remove_prefix(static_cast<size_t>(n));
      }
    }
    if (!error && ::ftruncate(fd.get(), static_cast<off_t>(entry.size)) != 0 && errno != EINVAL) error = errno;  // EINVAL: a device
    if (options_.keep_times && ::fchmod(fd.get(), entry.mode) != 0 && !error) error = errno;
    if (times) ::futimens(fd.get(), times->data());
    wire_.agreed();
    if (error) wire_.complain(path, error);
    else Wire::good();
  }
  Wire& wire_;
  const Options& options_;
};

Options parse(const std::vector<std::string>& words) {
  Options options;
  bool more = true;
  for (const std::string& word : words) {
    if (more && word == "--") more = false;
    else if (more && word.size() > 1 && word[0] == '-') {
      for (const char letter : word.substr(1)) {
        if (letter == 't') options.sink = true;
        if (letter == 'f') options.source = true;
        if (letter == 'r') options.recursive = true;
        if (letter == 'p') options.keep_times = true;
        if (letter == 'd') options.must_be_folder = true;
      }
    } else options.paths.push_back(word);
  }
  if (options.sink == options.source || options.paths.empty()) throw UsageError("__scp is called by scp -O alone.");
  return options;
}

// Where this program is; a place without /proc knows how it was called.
std::string own_path() {
  std::error_code unknown;
  const fs::path path = fs::read_symlink("/proc/self/exe", unknown);
  return unknown ? fs::absolute(reinterpret_cast<const char*>(::getauxval(AT_EXECFN))).string() : path.string();
}

}  // namespace

int legacy_scp(const std::vector<std::string>& words) {
  const Options options = parse(words);
  Wire wire;
  try {
    if (options.source) {
      wire.agreed();
      for (const std::string& path : options.paths) Source(wire, options).send(path);
      return wire.failed() ? 1 : 0;
    }
    std::error_code ignored;
    if (options.must_be_folder && !fs::is_directory(options.paths.back(), ignored)) {
      wire.complain(options.paths.back(), ENOTDIR);
      return 1;
    }
    Wire::good();
    Sink(wire, options).receive(options.paths.back(), true);
  } catch (const Lost&) {
    return 1;
  }
  return wire.failed() ? 1 : 0;
}

void provide_legacy_scp(const std::string& path_variable) {
  for (const std::string& folder : split(path_variable, ':'))
    if (folder != kToolFolder && ::access((folder + "/scp").c_str(), X_OK) == 0) return;
  try {
    const std::string script = "#!/bin/sh\nexec " + shell_quoted(own_path()) + " __scp \"$@\"\n";
    const fs::path path = fs::path(kToolFolder) / "scp";
    if (::access(path.c_str(), X_OK) == 0 && os::read_file(path) == script) return;
    fs::create_directories(kToolFolder);
    os::write_atomically(path, script, 0755);
  } catch (const std::exception& error) {  // a container that is read-only: `scp -O` will not find it
    log::debug("ssh", error.what());
  }
}

}  // namespace riverbox::ssh
