#include "environment/archive.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "environment/image_manifest.hpp"
#include "environment/tar_format.hpp"
#include "os/fd.hpp"

namespace riverbox::environment {
namespace {

constexpr const char* kRemoveIt = "Remove the file, or package the environment again with create-tar.";

BadData damaged(const std::filesystem::path& tar, const Error& reason) {
  return BadData(fmt::format("archive '{}' cannot be used: {}", tar.string(), reason.fact()), reason.next().empty() ? kRemoveIt : reason.next());
}

std::uint64_t size_of(int fd, const std::filesystem::path& tar) {
  struct stat st {};
  if (fstat(fd, &st) != 0) throw IoError(fmt::format("examine '{}'", tar.string()), errno);
  return static_cast<std::uint64_t>(st.st_size);
}

using ReadAt = std::function<std::string(std::uint64_t offset, std::uint64_t size)>;

// What is a tar by its checksum is one: the name of its first member may also begin with "BZh".
void refuse_what_is_no_tar(std::string_view start) {
  const bool short_of_a_header = start.size() < kTarBlock;
  if (!short_of_a_header && (start[0] == '\0' || has_tar_checksum(start))) return;
  if (const auto compression = compression_of(start)) {
    throw BadData(fmt::format("it is compressed with {}", *compression), "Uncompress it: environments are plain .tar files.");
  }
  throw BadData(short_of_a_header ? "it is too short for a tar file" : "it is not a tar file");
}

// Headers are a few hundred bytes in gigabytes: one pread each, nothing else is touched.
TarMembers read_members(std::uint64_t file_bytes, const ReadAt& read) {
  if (file_bytes == 0) throw BadData("it is empty");
  refuse_what_is_no_tar(read(0, std::min(kTarBlock, file_bytes)));

  TarMembers members;
  TarExtensions extensions;
  std::uint64_t offset = 0;
  while (offset < file_bytes) {
    if (file_bytes - offset < kTarBlock) throw BadData(fmt::format("it is truncated within a header at byte {}", offset));
    const std::string block = read(offset, kTarBlock);
    auto header = decode_tar_header(block);
    if (!header) break;
    offset += kTarBlock;
    const bool extension = TarExtensions::is_extension(header->type);
    if (!extension) extensions.apply(*header);
    if (header->size_bytes > file_bytes - offset) {
      throw BadData(fmt::format("it is truncated: member '{}' needs {} bytes from byte {} on, the file ends at {}",
                                printable(header->name, 100), header->size_bytes, offset, file_bytes));
    }
    if (extension) {
      if (header->size_bytes > kMaxTarExtensionBytes) throw BadData("a member has an absurdly long name");
      extensions.add(header->type, read(offset, header->size_bytes));
    } else {
      members.add(*header, offset);
    }
    offset += padded(header->size_bytes);
  }
  if (extensions.pending()) throw BadData("it is truncated after a long name");
  // Writers end with whole blocks: an odd size is a copy that was cut or is still growing.
  if (file_bytes % kTarBlock != 0) throw BadData("it is truncated: its size is not a whole number of tar blocks");
  return members;
}

}  // namespace

Archive read_archive(int fd, std::uint64_t size_bytes, const std::filesystem::path& tar, Documents& documents, std::uint64_t& bytes_read) {
  const ReadAt read = [&](std::uint64_t offset, std::uint64_t size) {
    bytes_read += size;
    return os::pread_exact(fd, static_cast<size_t>(size), static_cast<off_t>(offset), tar);
  };
  try {
    const TarMembers members = read_members(size_bytes, read);
    Archive archive = describe_image(members, [&](const std::string&, const TarMember& member, std::uint64_t size) {
      return read(member.offset, std::min(size, member.size_bytes));
    }, &documents);
    archive.size_bytes = size_bytes;
    return archive;
  } catch (const BadData& error) {
    throw damaged(tar, error);
  }
}

os::UniqueFd open_archive_file(const os::Place& tar) {
  try {
    return os::open_beneath(tar, O_RDONLY);
  } catch (const Conflict&) {
    throw BadData(fmt::format("archive '{}' cannot be used: it is not a regular file", tar.path().string()), kRemoveIt);
  }
}

Archive read_archive(const os::Place& tar) { return read_archive(open_archive_file(tar).get(), tar.path()); }

Archive read_archive(int fd, const std::filesystem::path& tar) {
  posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);  // what lies between two headers is not wanted
  Documents documents;
  std::uint64_t bytes_read = 0;
  return read_archive(fd, size_of(fd, tar), tar, documents, bytes_read);
}

Archive verify_archive(const os::Place& place, const CancelToken& cancel, const ReadWatch& watch) {
  const std::filesystem::path tar = place.path();
  const os::UniqueFd file = open_archive_file(place);
  try {
    posix_fadvise(file.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    ArchiveVerifier verifier;
    std::string buffer(1u << 20, '\0');
    std::chrono::nanoseconds reading{0};
    for (std::uint64_t bytes = 0;;) {
      cancel.check("verifying an archive");
      if (watch) watch(bytes, reading);
      const auto start = std::chrono::steady_clock::now();
      const ssize_t n = ::read(file.get(), buffer.data(), buffer.size());
      reading += std::chrono::steady_clock::now() - start;
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw IoError(fmt::format("read '{}'", tar.string()), errno);
      if (n == 0) return verifier.finish();
      verifier.feed({buffer.data(), static_cast<size_t>(n)});
      bytes += static_cast<std::uint64_t>(n);
    }
  } catch (const BadData& error) {
    throw damaged(tar, error);
  }
}

}  // namespace riverbox::environment
