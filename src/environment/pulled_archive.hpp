// An archive that the share of this machine does not show, fetched from the host's registry (docs/api.md): first only what it is, then those of its
// layers that the daemon lacks.
#pragma once
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/cancel.hpp"
#include "environment/archive_file.hpp"
#include "environment/name.hpp"
#include "environment/registry_image.hpp"

namespace riverbox::environment {

class HostRegistry;

// Its layers lie in a file without a name: it is gone when we are, however we end.
class PulledArchive final : public ArchiveFile {
public:
  const std::string& tarball() const { return tarball_; }
  // Brings the layers here that are not yet. A connection that breaks is taken up where it broke. Every file has its digest, or BadData is thrown.
  void fetch(const std::vector<std::size_t>& layers, const CancelToken& cancel, const std::function<void(std::uint64_t bytes)>& tell) override;
  bool is_complete_tar() const override { return false; }
  void check_unchanged() const override {}  // nobody else can reach it

private:
  friend class HostRegistry;
  PulledArchive(const HostRegistry& host, EnvironmentName name, std::string tarball, DescribedImage image, os::UniqueFd fd);
  const HostRegistry& host_;
  const EnvironmentName name_;
  const std::string tarball_;
  std::vector<bool> here_;
};

// Thread-safe. Blocking. Throws Unavailable (the host does not answer), NotFound (it has no such version), Unauthorized, BadData, Cancelled, Timeout.
class HostRegistry {
public:
  // `spool` is a folder of this machine with room for the layers that travel.
  HostRegistry(std::string url, std::string token, std::filesystem::path spool) : url_(std::move(url)), token_(std::move(token)), spool_(std::move(spool)) {}

  // `tag`: "latest" or the number of a version. The host outlives the archive.
  std::unique_ptr<PulledArchive> open(const EnvironmentName& name, const std::string& tag, const CancelToken& cancel) const;
  std::vector<std::int64_t> versions(const EnvironmentName& name, const CancelToken& cancel) const;  // newest first

private:
  friend class PulledArchive;
  struct Answer;
  Answer get(const EnvironmentName& name, const std::string& path, const CancelToken& cancel) const;
  // Into the file, from `offset` on.
  void download(const EnvironmentName& name, const RegistryBlob& blob, int fd, const CancelToken& cancel, const std::function<void(std::uint64_t bytes)>& tell) const;

  const std::string url_, token_;
  const std::filesystem::path spool_;
};

}  // namespace riverbox::environment
