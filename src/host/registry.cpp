#include "host/registry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "base/strings.hpp"
#include "host/versions.hpp"

namespace riverbox::host {
namespace {

using environment::EnvironmentName;
using environment::RegistryImage;
using environment::RegistryReference;
using environment::Version;

constexpr size_t kDescribed = 128;
constexpr size_t kMaxRememberedBytes = 256u << 10;  // of a manifest; forty layers are 8 kB

EnvironmentName parse_name(const std::string& text) {
  try {
    return EnvironmentName::parse(text);
  } catch (const InvalidInput& error) {
    throw RegistryError(ErrorKind::invalid_input, "NAME_INVALID", error.fact(), error.next());
  }
}

std::vector<Version> tagged_versions(const environment::Share& share, const EnvironmentName& name) {
  auto versions = share.versions(name);
  if (versions.empty())
    throw RegistryError(ErrorKind::not_found, "NAME_UNKNOWN", fmt::format("there is no tarball of environment '{}'", name.str()),
                        "`hakuriver.docker list-tars` shows those there are.");
  return versions;
}

template <class Parse>
auto parse_digest(Parse parse) {
  try {
    return parse();
  } catch (const InvalidInput& error) {
    throw RegistryError(ErrorKind::invalid_input, "DIGEST_INVALID", error.fact(), error.next());
  }
}

bool vanished(const IoError& error) { return error.error_number() == ENOENT || error.error_number() == ESTALE; }

RegistryError no_manifest(const EnvironmentName& name, const std::string& reference, const std::vector<Version>& versions) {
  return RegistryError(ErrorKind::not_found, "MANIFEST_UNKNOWN", fmt::format("environment '{}' has no version '{}'", name.str(), printable(reference, 100)),
                       "Its tags are latest and the numbers of its versions. " + those_there_are(versions));
}

}  // namespace

Registry::FileState Registry::state_of(int fd, const std::filesystem::path& path) {
  struct stat st {};
  if (fstat(fd, &st) != 0) throw IoError("examine '" + path.string() + "'", errno, "Check the share.");
  return {st.st_dev, st.st_ino, st.st_size, static_cast<std::int64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + st.st_mtim.tv_nsec};
}

std::vector<std::string> Registry::repositories() const {
  std::vector<std::string> names;
  for (const auto& [name, versions] : share_.list(false)) names.push_back(name.str());
  return names;
}

std::vector<std::string> Registry::tags(const std::string& name) const { return environment::registry_tags(tagged_versions(share_, parse_name(name))); }

// ---- what an archive is

Registry::ImagePtr Registry::known(const std::string& tarball) {
  const std::lock_guard lock(mutex_);
  const auto found = described_.find(tarball);
  if (found == described_.end()) return nullptr;
  found->second.used = ++uses_;
  return found->second.image;
}

void Registry::remember(const std::string& tarball, const ImagePtr& image) {
  if (image->image.manifest.size() > kMaxRememberedBytes) return;
  const std::lock_guard lock(mutex_);
  described_[tarball] = {image, ++uses_};
  if (described_.size() <= kDescribed) return;
  described_.erase(std::min_element(described_.begin(), described_.end(), [](const auto& a, const auto& b) { return a.second.used < b.second.used; }));
}

Registry::ImagePtr Registry::describe(const Version& version, bool may_read_layers) {
  const os::Place place = share_.place_of(version.tarball);
  const auto path = place.path();
  const auto still_known = [&](int fd) {
    auto image = known(version.tarball);
    return image && image->file == state_of(fd, path) ? image : nullptr;
  };
  if (known(version.tarball)) {
    const os::UniqueFd fd = environment::open_archive_file(place);
    if (auto image = still_known(fd.get())) return image;
  }
  environment::ArchiveFile file(place, share_.index_place(version.tarball));
  const FileState state = state_of(file.fd(), path);
  file.read_documents();
  const bool reads_layers = environment::needs_layer_digests(file);
  if (reads_layers && !may_read_layers) return nullptr;
  std::unique_lock<std::mutex> turn;
  if (reads_layers) {
    turn = std::unique_lock(reading_);
    if (auto image = still_known(file.fd())) return image;  // somebody else has read it meanwhile
  }
  auto image = std::make_shared<const Described>(Described{state, environment::registry_image(file, stopping_)});
  file.check_unchanged();
  remember(version.tarball, image);
  return image;
}

// Those in memory first: the blobs of a pull are of the version whose manifest was just sent.
Registry::Found Registry::find(const std::vector<Version>& versions, bool may_read_layers, const Fits& fits) {
  Found found;
  const auto looks_right = [&](const Version& version, bool read, bool& unread) {
    try {
      auto image = describe(version, read);
      unread = !image;
      if (!image || !fits(image->image)) return false;
      found.version = version;
      found.image = std::move(image);
      return true;
    } catch (const BadData&) {  // damaged, or deleted meanwhile: then it is not that one
    } catch (const IoError& error) {
      if (!vanished(error)) throw;
    }
    return false;
  };
  bool unread = false;
  for (const Version& version : versions) {
    const auto image = known(version.tarball);
    if (image && fits(image->image) && looks_right(version, false, unread)) return found;
  }
  std::vector<const Version*> later;
  for (const Version& version : versions) {
    unread = false;
    if (looks_right(version, false, unread)) return found;
    if (unread) later.push_back(&version);
  }
  if (!may_read_layers) found.passed_over = !later.empty();
  else
    for (const Version* version : later)
      if (looks_right(*version, true, unread)) return found;
  return found;
}

// ---- what a puller asks for

std::optional<Registry::Manifest> Registry::manifest(const std::string& name_text, const std::string& reference_text, bool may_read_layers) {
  const auto name = parse_name(name_text);
  const auto reference = parse_digest([&] { return RegistryReference::parse(reference_text); });
  const auto versions = tagged_versions(share_, name);
  Found found;
  using Kind = RegistryReference::Kind;
  if (reference.kind == Kind::digest) {
    found = find(versions, may_read_layers, [&](const RegistryImage& image) { return image.digest == reference.digest; });
    if (found.passed_over) return std::nullopt;
  } else if (reference.kind != Kind::unknown) {
    const auto version = reference.kind == Kind::latest
                             ? versions.begin()
                             : std::find_if(versions.begin(), versions.end(), [&](const Version& v) { return v.timestamp == reference.version; });
    if (version != versions.end()) {
      try {
        found = {*version, describe(*version, may_read_layers), false};
        if (!found.image) return std::nullopt;
      } catch (const IoError& error) {
        if (!vanished(error)) throw;  // deleted since the listing
      }
    }
  }
  if (!found.image) throw no_manifest(name, reference_text, versions);
  const RegistryImage& image = found.image->image;
  return Manifest{image.manifest, image.media_type, image.digest, found.version.tarball, environment::read_signature(share_.index_place(found.version.tarball))};
}

std::optional<Registry::Blob> Registry::blob(const std::string& name_text, const std::string& digest_text, bool may_read_layers) {
  const auto name = parse_name(name_text);
  const auto digest = parse_digest([&] { return environment::parse_registry_digest(digest_text); });
  const auto versions = tagged_versions(share_, name);
  const auto found = find(versions, may_read_layers, [&](const RegistryImage& image) { return image.find(digest) != nullptr; });
  if (found.passed_over) return std::nullopt;
  const auto unknown = [&] {
    return RegistryError(ErrorKind::not_found, "BLOB_UNKNOWN", fmt::format("no version of environment '{}' has the blob {}", name.str(), digest),
                         "A version that was deleted meanwhile takes its blobs with it: pull again.");
  };
  if (!found.image) throw unknown();
  const os::Place place = share_.place_of(found.version.tarball);
  Blob blob{{}, place.path(), found.image->image.find(digest)->span};
  try {
    blob.fd = environment::open_archive_file(place);
  } catch (const IoError& error) {
    if (vanished(error)) throw unknown();
    throw;
  }
  if (!(state_of(blob.fd.get(), blob.path) == found.image->file)) throw unknown();  // replaced in this moment
  return blob;
}

}  // namespace riverbox::host
