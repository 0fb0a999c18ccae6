#include "ssh/sftp_server.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>

#include "base/error.hpp"
#include "base/log.hpp"
#include "os/fd.hpp"
#include "ssh/sftp_names.hpp"
#include "ssh/sftp_packet.hpp"

namespace riverbox::ssh::sftp {
namespace {

constexpr std::uint32_t kMaxRead = kMaxPacket - 1024;  // as OpenSSH tells in limits@openssh.com
constexpr size_t kMaxHandles = 1024, kNamesAtOnce = 100;

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

struct Handle {
  os::UniqueFd file;
  std::unique_ptr<DIR, CloseFolder> folder;
  bool append = false;
};

Status status_of(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
    case ELOOP: return Status::no_such_file;
    case EACCES:
    case EPERM:
    case EROFS: return Status::permission_denied;
    case ENOSYS:
    case EOPNOTSUPP: return Status::unsupported;
    default: return Status::failure;
  }
}

timespec whole_seconds(std::uint32_t seconds) { return {static_cast<time_t>(seconds), 0}; }

class Server {
public:
  Server(int in, int out) : in_(in), out_(out) {}
  void run();

private:
  std::string answer(const Request& request);
  std::string opened(const Request& request);
  std::string new_handle(std::uint32_t id, Handle handle);
  Handle* find(const Request& request);
  std::string read(const Request& request);
  std::string write(const Request& request);
  std::string list(const Request& request);
  std::string extended(const Request& request);
  std::string set(const Request& request, int file, const std::string& path, bool follow);
  static std::string done(const Request& request, bool good) { return good ? status_answer(request.id, Status::ok, "Success") : failed(request, errno); }
  static std::string failed(const Request& request, int error) { return status_answer(request.id, status_of(error), std::strerror(error)); }

  int in_, out_;
  std::map<std::uint64_t, Handle> handles_;
  std::uint64_t next_ = 0;
};

void Server::run() {
  std::string buffer;
  char piece[64 << 10];
  for (;;) {
    size_t at = 0;
    for (std::optional<std::uint32_t> size; (size = packet_size(std::string_view(buffer).substr(at))); at += 4 + *size) {
      if (*size == 0 || *size > kMaxPacket) return log::warning("ssh", "an sftp packet makes no sense", {{"bytes", std::to_string(*size)}});
      if (buffer.size() - at < 4 + static_cast<size_t>(*size)) break;
      std::optional<std::uint32_t> id;
      const auto request = parse_request(std::string_view(buffer).substr(at + 4, *size), &id);
      if (!request && !id) return log::warning("ssh", "an sftp packet makes no sense");
      os::write_all(out_, request ? answer(*request) : status_answer(*id, Status::bad_message, "Bad message"), "the sftp client");
    }
    buffer.erase(0, at);
    const ssize_t n = ::read(in_, piece, sizeof piece);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    buffer.append(piece, static_cast<size_t>(n));
  }
}

std::string Server::answer(const Request& request) {
  const std::string path(request.path.empty() ? "." : request.path), second(request.second);
  switch (request.type) {
    case Type::init: {
      Answer version(Type::version, 3);
      for (const auto& [name, value] : {std::pair{"posix-rename@openssh.com", "1"}, {"statvfs@openssh.com", "2"}, {"fstatvfs@openssh.com", "2"}, {"hardlink@openssh.com", "1"},
                                        {"fsync@openssh.com", "1"}, {"lsetstat@openssh.com", "1"}, {"limits@openssh.com", "1"}, {"expand-path@openssh.com", "1"}})
        version.text(name).text(value);
      return version.framed();
    }
    case Type::open: return opened(request);
    case Type::close: {
      Handle* handle = find(request);
      if (!handle) return failed(request, EBADF);
      // On NFS, and where there is a quota, writing may fail only now.
      const bool good = !handle->file || ::close(handle->file.release()) == 0;
      const int error = errno;
      handles_.erase(handle_number(request.handle).value());
      return good ? done(request, true) : failed(request, error);
    }
    case Type::read: return read(request);
    case Type::write: return write(request);
    case Type::lstat:
    case Type::stat: {
      struct stat info {};
      if (::fstatat(AT_FDCWD, path.c_str(), &info, request.type == Type::lstat ? AT_SYMLINK_NOFOLLOW : 0) != 0) return failed(request, errno);
      return Answer(Type::attrs, request.id).attributes(attributes_of(info)).framed();
    }
    case Type::fstat: {
      const Handle* handle = find(request);
      struct stat info {};
      if (!handle || ::fstat(handle->file ? handle->file.get() : ::dirfd(handle->folder.get()), &info) != 0) return failed(request, EBADF);
      return Answer(Type::attrs, request.id).attributes(attributes_of(info)).framed();
    }
    case Type::setstat: return set(request, -1, path, true);
    case Type::fsetstat: {
      const Handle* handle = find(request);
      if (!handle || !handle->file) return failed(request, EBADF);
      return set(request, handle->file.get(), "", true);
    }
    case Type::opendir: {
      Handle handle;
      handle.folder.reset(::opendir(path.c_str()));
      return handle.folder ? new_handle(request.id, std::move(handle)) : failed(request, errno);
    }
    case Type::readdir: return list(request);
    case Type::remove: return done(request, ::unlink(path.c_str()) == 0);
    case Type::mkdir: return done(request, ::mkdir(path.c_str(), request.attributes.permissions.value_or(0777) & 07777) == 0);
    case Type::rmdir: return done(request, ::rmdir(path.c_str()) == 0);
    case Type::realpath: {
      const auto real = real_path(path);
      return real ? name_answer(request.id, *real) : failed(request, errno);
    }
    case Type::rename: return done(request, rename_to_new(path, second));
    case Type::readlink: {
      char target[PATH_MAX];
      const ssize_t size = ::readlink(path.c_str(), target, sizeof target);
      return size < 0 ? failed(request, errno) : name_answer(request.id, std::string_view(target, static_cast<size_t>(size)));
    }
    case Type::symlink: return done(request, ::symlink(path.c_str(), second.c_str()) == 0);  // OpenSSH has them the other way round than the draft, and so everybody has
    case Type::extended: return extended(request);
    default: return status_answer(request.id, Status::unsupported, "Operation unsupported");
  }
}

std::string Server::opened(const Request& request) {
  const bool reads = request.flags & kOpenRead, writes = request.flags & kOpenWrite;
  int flags = reads && writes ? O_RDWR : writes ? O_WRONLY : O_RDONLY;
  if (request.flags & kOpenAppend) flags |= O_APPEND;
  if (request.flags & kOpenCreate) flags |= O_CREAT;
  if (request.flags & kOpenTruncate) flags |= O_TRUNC;
  if (request.flags & kOpenExclusive) flags |= O_EXCL;
  Handle handle;
  handle.file.reset(::open(std::string(request.path).c_str(), flags | O_CLOEXEC | O_NOCTTY, request.attributes.permissions.value_or(0666) & 07777));
  handle.append = request.flags & kOpenAppend;
  return handle.file ? new_handle(request.id, std::move(handle)) : failed(request, errno);
}

std::string Server::new_handle(std::uint32_t id, Handle handle) {
  if (handles_.size() >= kMaxHandles) return status_answer(id, Status::failure, "Too many files are open");
  handles_[next_] = std::move(handle);
  return Answer(Type::handle, id).text(handle_text(next_++)).framed();
}

Handle* Server::find(const Request& request) {
  const auto number = handle_number(request.handle);
  const auto found = number ? handles_.find(*number) : handles_.end();
  return found == handles_.end() ? nullptr : &found->second;
}

std::string Server::read(const Request& request) {
  const Handle* handle = find(request);
  if (!handle || !handle->file) return failed(request, EBADF);
  std::string bytes(std::min(request.length, kMaxRead), '\0');
  ssize_t n = ::pread(handle->file.get(), bytes.data(), bytes.size(), static_cast<off_t>(request.offset));
  if (n < 0 && errno == ESPIPE) n = ::read(handle->file.get(), bytes.data(), bytes.size());
  if (n < 0) return failed(request, errno);
  if (n == 0) return status_answer(request.id, Status::eof, "End of file");
  return Answer(Type::data, request.id).text(std::string_view(bytes).substr(0, static_cast<size_t>(n))).framed();
}

std::string Server::write(const Request& request) {
  const Handle* handle = find(request);
  if (!handle || !handle->file) return failed(request, EBADF);
  std::string_view rest = request.data;
  for (auto offset = static_cast<off_t>(request.offset); !rest.empty();) {
    ssize_t n = handle->append ? ::write(handle->file.get(), rest.data(), rest.size()) : ::pwrite(handle->file.get(), rest.data(), rest.size(), offset);
    if (n < 0 && errno == ESPIPE) n = ::write(handle->file.get(), rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed(request, errno);
    rest.remove_prefix(static_cast<size_t>(n));
    offset += n;
  }
  return done(request, true);
}

std::string Server::list(const Request& request) {
  const Handle* handle = find(request);
  if (!handle || !handle->folder) return failed(request, EBADF);
  std::vector<Name> names;
  int error = 0;
  while (names.size() < kNamesAtOnce) {
    errno = 0;
    const dirent* entry = ::readdir(handle->folder.get());
    if (!entry) error = errno;
    if (!entry) break;
    struct stat info {};
    if (::fstatat(::dirfd(handle->folder.get()), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;  // gone meanwhile
    names.push_back({entry->d_name, long_name(entry->d_name, info), attributes_of(info)});
  }
  if (names.empty()) return error ? failed(request, error) : status_answer(request.id, Status::eof, "End of file");
  return names_answer(request.id, names);
}

// As OpenSSH: all that was asked for is tried, the last error is told.
std::string Server::set(const Request& request, int file, const std::string& path, bool follow) {
  const Attributes& wanted = request.attributes;
  const int flags = follow ? 0 : AT_SYMLINK_NOFOLLOW;
  int error = 0;
  const auto attempt = [&](int result) { error = result == 0 ? error : errno; };
  if (wanted.size && !follow) return failed(request, EINVAL);
  if (wanted.size) attempt(file >= 0 ? ::ftruncate(file, static_cast<off_t>(*wanted.size)) : ::truncate(path.c_str(), static_cast<off_t>(*wanted.size)));
  if (wanted.owner) {
    const auto [uid, gid] = *wanted.owner;
    attempt(file >= 0 ? ::fchown(file, uid, gid) : ::fchownat(AT_FDCWD, path.c_str(), uid, gid, flags));
  }
  if (wanted.permissions) {  // after the owner, whose change takes set-user-ID bits away
    const mode_t mode = *wanted.permissions & 07777;
    attempt(file >= 0 ? ::fchmod(file, mode) : ::fchmodat(AT_FDCWD, path.c_str(), mode, flags));
  }
  if (wanted.times) {
    const timespec times[2] = {whole_seconds(wanted.times->first), whole_seconds(wanted.times->second)};
    attempt(file >= 0 ? ::futimens(file, times) : ::utimensat(AT_FDCWD, path.c_str(), times, flags));
  }
  return error ? failed(request, error) : done(request, true);
}

std::string Server::extended(const Request& request) {
  const std::string path(request.path), second(request.second);
  const std::string_view name = request.extension;
  if (name == "posix-rename@openssh.com") return done(request, ::rename(path.c_str(), second.c_str()) == 0);
  if (name == "hardlink@openssh.com") return done(request, ::link(path.c_str(), second.c_str()) == 0);
  if (name == "lsetstat@openssh.com") return set(request, -1, path, false);
  if (name == "expand-path@openssh.com") {
    const auto real = real_path(with_home(path));
    return real ? name_answer(request.id, *real) : failed(request, errno);
  }
  if (name == "limits@openssh.com") return Answer(Type::extended_reply, request.id).u64(kMaxPacket).u64(kMaxRead).u64(kMaxRead).u64(kMaxHandles).framed();
  if (name == "fsync@openssh.com") {
    const Handle* handle = find(request);
    return handle && handle->file ? done(request, ::fsync(handle->file.get()) == 0) : failed(request, EBADF);
  }
  if (name == "statvfs@openssh.com" || name == "fstatvfs@openssh.com") {
    struct statvfs info {};
    const Handle* handle = name[0] == 'f' ? find(request) : nullptr;
    if (name[0] == 'f' && (!handle || !handle->file)) return failed(request, EBADF);
    if ((handle ? ::fstatvfs(handle->file.get(), &info) : ::statvfs(path.c_str(), &info)) != 0) return failed(request, errno);
    return statvfs_answer(request.id, info);
  }
  return status_answer(request.id, Status::unsupported, "Operation unsupported");
}

}  // namespace

void serve(int in, int out) {
  try {
    Server(in, out).run();
  } catch (const Error& error) {  // the reader went away
    log::debug("ssh", error.what());
  }
}

}  // namespace riverbox::ssh::sftp
