#include "ssh/sftp_names.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>

#include "base/strings.hpp"

namespace riverbox::ssh::sftp {
namespace {

char type_letter(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR: return 'd';
    case S_IFLNK: return 'l';
    case S_IFIFO: return 'p';
    case S_IFSOCK: return 's';
    case S_IFCHR: return 'c';
    case S_IFBLK: return 'b';
    default: return '-';
  }
}

std::string mode_text(mode_t mode) {
  std::string text(1, type_letter(mode));
  for (int i = 8; i >= 0; --i) text += (mode >> i) & 1 ? "xwr"[i % 3] : '-';
  if (mode & S_ISUID) text[3] = mode & S_IXUSR ? 's' : 'S';
  if (mode & S_ISGID) text[6] = mode & S_IXGRP ? 's' : 'S';
  if (mode & S_ISVTX) text[9] = mode & S_IXOTH ? 't' : 'T';
  return text;
}

std::optional<std::string> existing(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  return real ? std::optional<std::string>(real.get()) : std::nullopt;
}

}  // namespace

Attributes attributes_of(const struct stat& info) {
  return {static_cast<std::uint64_t>(info.st_size), std::pair{info.st_uid, info.st_gid}, info.st_mode,
          std::pair{static_cast<std::uint32_t>(info.st_atime), static_cast<std::uint32_t>(info.st_mtime)}};
}

std::string long_name(std::string_view name, const struct stat& info) {
  char when[32] = "";
  tm local{};
  if (::localtime_r(&info.st_mtime, &local)) std::strftime(when, sizeof when, std::time(nullptr) - info.st_mtime > 182 * 86400 ? "%b %e  %Y" : "%b %e %H:%M", &local);
  return fmt::format("{} {:4} {:<8} {:<8} {:8} {} {}", mode_text(info.st_mode), info.st_nlink, info.st_uid, info.st_gid, info.st_size, when, name);
}

std::string names_answer(std::uint32_t id, const std::vector<Name>& names) {
  Answer answer(Type::name, id);
  answer.u32(static_cast<std::uint32_t>(names.size()));
  for (const Name& name : names) answer.text(name.name).text(name.long_name).attributes(name.attributes);
  return answer.framed();
}

std::string name_answer(std::uint32_t id, std::string_view path) { return names_answer(id, {{std::string(path), std::string(path), {}}}); }

std::string statvfs_answer(std::uint32_t id, const struct statvfs& info) {
  constexpr std::uint64_t kReadOnly = 1, kNoSetUserId = 2;
  return Answer(Type::extended_reply, id).u64(info.f_bsize).u64(info.f_frsize).u64(info.f_blocks).u64(info.f_bfree).u64(info.f_bavail).u64(info.f_files).u64(info.f_ffree)
      .u64(info.f_favail).u64(info.f_fsid).u64((info.f_flag & ST_RDONLY ? kReadOnly : 0) | (info.f_flag & ST_NOSUID ? kNoSetUserId : 0)).u64(info.f_namemax).framed();
}

std::string handle_text(std::uint64_t number) { return std::to_string(number); }
std::optional<std::uint64_t> handle_number(std::string_view handle) { return parse_u64(handle); }

std::optional<std::string> real_path(const std::string& path) {
  if (auto whole = existing(path)) return whole;
  if (errno != ENOENT) return std::nullopt;
  const size_t end = path.find_last_not_of('/'), slash = end == std::string::npos ? end : path.find_last_of('/', end);
  const std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1, end - (slash == std::string::npos ? 0 : slash + 1) + 1);
  auto parent = existing(slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash));
  if (!parent || name == "..") return std::nullopt;
  return (*parent == "/" ? "" : *parent) + "/" + name;
}

std::string with_home(const std::string& path) {
  const char* home = std::getenv("HOME");
  if (path == "~") return home ? home : "/";
  return path.starts_with("~/") ? std::string(home ? home : "") + path.substr(1) : path;
}

bool rename_to_new(const std::string& from, const std::string& to) {
  constexpr unsigned kNoReplace = 1;  // RENAME_NOREPLACE of linux/fs.h
  if (::syscall(SYS_renameat2, AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), kNoReplace) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS) return false;
  struct stat info {};
  if (::lstat(to.c_str(), &info) == 0) return errno = EEXIST, false;
  return ::rename(from.c_str(), to.c_str()) == 0;
}

}  // namespace riverbox::ssh::sftp
