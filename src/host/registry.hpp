// The share as a registry that can only be pulled from: a repository per environment, straight out of the archives. All calls block on the share.
#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/cancel.hpp"
#include "base/error.hpp"
#include "environment/registry_image.hpp"
#include "environment/registry_reference.hpp"
#include "environment/share.hpp"
#include "os/fd.hpp"

namespace riverbox::host {

// An error with the code that the OCI distribution specification has for it.
class RegistryError : public Error {
public:
  RegistryError(ErrorKind kind, std::string code, std::string what, std::string next = {})
      : Error(kind, std::move(what), std::move(next)), code_(std::move(code)) {}
  const std::string& code() const { return code_; }

private:
  std::string code_;
};

class Registry {
public:
  explicit Registry(environment::Share share) : share_(std::move(share)) {}

  std::vector<std::string> repositories() const;                  // sorted
  std::vector<std::string> tags(const std::string& name) const;   // sorted

  struct Manifest {
    std::string bytes, media_type, digest, tarball;
    std::optional<environment::Signature> signature;  // of the version; a manifest that was made up here is not in it
  };
  // nullopt: only reading whole layers can tell; ask again with `may_read_layers` where that may take minutes. Throws RegistryError, IoError, BadData.
  std::optional<Manifest> manifest(const std::string& name, const std::string& reference, bool may_read_layers);

  struct Blob {
    os::UniqueFd fd;  // keeps the bytes, whatever happens to the name
    std::filesystem::path path;
    environment::Span span;
  };
  std::optional<Blob> blob(const std::string& name, const std::string& digest, bool may_read_layers);

  // Reading layers ends soon.
  void stop() { stopping_.cancel(); }

private:
  // What a file was when it was described.
  struct FileState {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = 0;
    std::int64_t modified_ns = 0;
    bool operator==(const FileState&) const = default;
  };
  struct Described {
    FileState file;
    environment::RegistryImage image;
  };
  using ImagePtr = std::shared_ptr<const Described>;
  static FileState state_of(int fd, const std::filesystem::path& path);

  // Null: it would have to be read whole, which is not wanted.
  ImagePtr describe(const environment::Version& version, bool may_read_layers);
  ImagePtr known(const std::string& tarball);
  void remember(const std::string& tarball, const ImagePtr& image);

  using Fits = std::function<bool(const environment::RegistryImage&)>;
  struct Found {
    environment::Version version;
    ImagePtr image;           // null: none fits
    bool passed_over = false;  // none of those that were looked at
  };
  Found find(const std::vector<environment::Version>& versions, bool may_read_layers, const Fits& fits);

  environment::Share share_;
  CancelToken stopping_;
  std::mutex reading_;  // of whole layers: one archive at a time
  struct Entry {
    ImagePtr image;
    std::uint64_t used = 0;
  };
  std::mutex mutex_;  // guards what follows; never held across I/O
  std::map<std::string, Entry> described_;  // by tarball
  std::uint64_t uses_ = 0;
};

}  // namespace riverbox::host
