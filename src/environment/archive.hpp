// A `docker save` archive as an index: where each member lies, which image it is. Legacy layout (engine < 25) and OCI layout with
// manifest.json; with and without RepoTags; layers gzip-compressed or not; equal layers as symlinks. Never trusts the file.
#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel.hpp"
#include "base/ids.hpp"
#include "base/time.hpp"
#include "os/beneath.hpp"

namespace riverbox::environment {

struct Layer {
  std::string member;             // path in the tar, symlinks resolved
  std::string diff_id;            // sha256 of the uncompressed layer, from the config
  std::uint64_t offset = 0, size_bytes = 0;  // of the data in the file
  bool compressed = false;        // gzip or zstd magic
};

// The data of one member in the file. Size 0: not known.
struct Span {
  std::uint64_t offset = 0, size_bytes = 0;
};

// What the image *is*, the same on every engine and store.
struct Identity {
  std::vector<std::string> diff_ids;  // in order
  WallTime created{};
  bool operator==(const Identity&) const = default;
};

// Somebody's word for what an archive is; it says nothing until it is examined (signatures.hpp).
struct Signature {
  std::string key_id, value;  // 16 and 128 hex digits; empty: what is there is none
};

struct Archive {
  std::string config_digest;      // sha256:...; the image Id in a graph-driver store
  Identity identity;
  std::vector<std::string> repo_tags;  // may be empty (KohakuRiver's untagged saves)
  std::vector<Layer> layers;      // chain order
  std::uint64_t size_bytes = 0;   // of the file
  std::string architecture, os;
  // The OCI image manifest that index.json names, and with it the image Id in a containerd store. Empty: there is none, or it is not of
  // exactly these layer files in this order.
  std::string manifest_digest;
  Span config, manifest;
  std::optional<Signature> signature;  // that lies beside it, in the index
};

// The small members of an archive that a daemon wants with every image, byte for byte.
struct Documents {
  std::string config, manifest;  // the latter empty without a manifest_digest
};

// Reads headers, manifest.json and the config only (kilobytes, also for 30 GB). Throws BadData naming file and reason for truncated, empty and
// foreign files: no end-of-archive needed, but every member the manifest names must lie inside the file.
Archive read_archive(const os::Place& tar);
Archive read_archive(int fd, const std::filesystem::path& tar);  // `tar` is for messages
// Throws IoError, BadData for what is no regular file.
os::UniqueFd open_archive_file(const os::Place& tar);
// The same of an open file of this size (`tar` is for messages). Adds what it has read to `bytes_read`.
Archive read_archive(int fd, std::uint64_t size_bytes, const std::filesystem::path& tar, Documents& documents, std::uint64_t& bytes_read);

// Takes the bytes of an archive while they are written, hashes every member, and says at the end what it was.
class ArchiveVerifier {
public:
  ArchiveVerifier();
  ~ArchiveVerifier();
  void feed(std::string_view bytes);  // throws BadData
  // Every layer of the manifest is there with the right digest, the config has the digest of its name. Throws BadData
  // (which layer, what was expected). `size_bytes` is what was fed.
  Archive finish();

private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};
// The whole file through ArchiveVerifier. `watch` hears about once per MB how much has been read, and how long the reading alone took.
using ReadWatch = std::function<void(std::uint64_t bytes, std::chrono::nanoseconds reading)>;
Archive verify_archive(const os::Place& tar, const CancelToken& cancel, const ReadWatch& watch = {});

// The index beside an archive (design: ".riverbox/<name>-<ts>.json"). It can always be rebuilt from the tar.
void write_index(const os::Place& index_file, const Archive& archive);
// nullopt: absent, damaged, or not of a file of this size.
std::optional<Archive> read_index(const os::Place& index_file, std::uint64_t tar_size_bytes);
std::optional<Archive> parse_index(const std::string& text, std::uint64_t tar_size_bytes);  // pure
// The signature alone, also of an index that fits no more.
std::optional<Signature> read_signature(const os::Place& index_file);
// The index if it fits the file, else read_archive(); the signature in any case.
Archive open_archive(const os::Place& tar, const os::Place& index_file);

}  // namespace riverbox::environment
