#include "environment/archive_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <utility>

#include "base/error.hpp"
#include "base/sha256.hpp"
#include "environment/image_manifest.hpp"

namespace riverbox::environment {
namespace {

std::int64_t changed_at(const struct stat& st) { return static_cast<std::int64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + st.st_mtim.tv_nsec; }

struct stat stat_of(int fd, const std::filesystem::path& path) {
  struct stat st {};
  if (fstat(fd, &st) != 0) throw IoError(fmt::format("examine '{}'", path.string()), errno, "Check the share.");
  return st;
}

// One that cannot be reached is as good as none: the archive itself says what it is.
std::optional<struct stat> stat_of_index(const os::Place& file) {
  try {
    return os::stat_beneath(file);
  } catch (const IoError&) {
    return std::nullopt;
  }
}

}  // namespace

ArchiveFile::ArchiveFile(const os::Place& tar, const os::Place& index_file) : place_(tar), path_(tar.path()), fd_(open_archive_file(tar)), opened_(stat_of(fd_.get(), path_)) {
  posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_RANDOM);  // what lies between two members that are read is not wanted
  const auto index = stat_of_index(index_file);
  // The index is written after the archive; a younger archive was replaced under its name.
  if (index && changed_at(opened_) <= changed_at(*index)) {
    if (auto archive = read_index(index_file, static_cast<std::uint64_t>(opened_.st_size))) {
      archive_ = std::move(*archive);
      bytes_read_ += static_cast<std::uint64_t>(index->st_size);
      from_index_ = true;
      return;
    }
  }
  if (index) archive_.signature = read_signature(index_file);
  read_headers();
}

ArchiveFile::ArchiveFile(std::filesystem::path path, os::UniqueFd fd, Archive archive, Documents documents)
    : path_(std::move(path)), fd_(std::move(fd)), opened_(stat_of(fd_.get(), path_)), archive_(std::move(archive)), documents_(std::move(documents)), has_documents_(true) {}

void ArchiveFile::fetch(const std::vector<std::size_t>&, const CancelToken&, const std::function<void(std::uint64_t)>&) {}

void ArchiveFile::read_headers() {
  from_index_ = false;
  auto signature = std::move(archive_.signature);
  archive_ = read_archive(fd_.get(), static_cast<std::uint64_t>(opened_.st_size), path_, documents_, bytes_read_);
  archive_.signature = std::move(signature);
  has_documents_ = true;
}

void ArchiveFile::forget_manifest() {
  archive_.manifest_digest.clear();
  archive_.manifest = {};
  documents_.manifest.clear();
}

void ArchiveFile::read_documents() {
  if (has_documents_) return;
  if (documents_fit_index()) has_documents_ = true;
  else read_headers();
}

// The config is what its digest says, and what it says is what the index says.
bool ArchiveFile::documents_fit_index() {
  if (archive_.config.size_bytes == 0 || archive_.config.size_bytes > kMaxJsonBytes || archive_.manifest.size_bytes > kMaxJsonBytes) return false;
  const auto read = [&](const Span& span) {
    bytes_read_ += span.size_bytes;
    return os::pread_exact(fd_.get(), static_cast<size_t>(span.size_bytes), static_cast<off_t>(span.offset), path_);
  };
  try {
    Documents found{read(archive_.config), {}};
    if (Sha256::of(found.config).str() != archive_.config_digest) return false;
    Archive described;
    describe_config(found.config, described);
    if (described.identity != archive_.identity) return false;
    if (!archive_.manifest_digest.empty()) {
      found.manifest = read(archive_.manifest);
      if (Sha256::of(found.manifest).str() != archive_.manifest_digest || !is_manifest_of(found.manifest, archive_)) return false;
    }
    documents_ = std::move(found);
    return true;
  } catch (const BadData&) {
    return false;
  }
}

void ArchiveFile::check_unchanged() const {
  const struct stat now = stat_of(fd_.get(), path_);
  if (now.st_size == opened_.st_size && changed_at(now) == changed_at(opened_)) return;
  throw BadData(fmt::format("archive '{}' was changed while it was read", path_.string()), "Try again when it is complete; create-tar never changes an archive.");
}

Archive open_archive(const os::Place& tar, const os::Place& index_file) { return ArchiveFile(tar, index_file).archive(); }

}  // namespace riverbox::environment
