// An archive as a registry shows it: an image manifest, and blobs that are ranges of the file.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/cancel.hpp"
#include "environment/archive_file.hpp"

namespace riverbox::environment {

struct RegistryBlob {
  std::string digest;  // "sha256:<hex>" of these bytes of the archive
  Span span;
};

struct RegistryImage {
  std::string manifest, media_type, digest;
  std::vector<RegistryBlob> blobs;  // config and layers
  const RegistryBlob* find(const std::string& digest) const;
};

// Compressed layers of an archive without an OCI manifest: nobody has written down the digests of their files, so they have to be read.
bool needs_layer_digests(const ArchiveFile& file);

// `file` has its documents read. The manifest of the archive, byte for byte, or one that is made from the index, the same for the same archive.
// Reads every byte of those layers that need it; throws Cancelled meanwhile. Throws BadData for a layer in a compression that no puller knows.
RegistryImage registry_image(const ArchiveFile& file, const CancelToken& cancel);

// A manifest and the config it names, checked, as the archive that they describe. Its layers lie one after the other from `offset` 0 on, in a file
// that does not exist yet. Throws BadData.
struct DescribedImage {
  Archive archive;
  Documents documents;
};
// What the manifest says of its config, before anything else is there.
RegistryBlob config_of_manifest(std::string_view manifest);
DescribedImage describe_pulled(std::string manifest, const std::string& manifest_digest, std::string config);

}  // namespace riverbox::environment
