#include "environment/registry_image.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/json.hpp"
#include "base/sha256.hpp"
#include "environment/image_manifest.hpp"
#include "environment/tar_format.hpp"
#include "os/fd.hpp"

namespace riverbox::environment {
namespace {

using Json = nlohmann::json;

constexpr const char* kManifestType = "application/vnd.oci.image.manifest.v1+json";
constexpr const char* kConfigType = "application/vnd.oci.image.config.v1+json";
constexpr const char* kLayerType = "application/vnd.oci.image.layer.v1.tar";
constexpr std::uint64_t kReadBytes = 1u << 20;

std::string read_range(const ArchiveFile& file, std::uint64_t offset, std::uint64_t size) {
  return os::pread_exact(file.fd(), static_cast<size_t>(size), static_cast<off_t>(offset), file.path());
}

std::string digest_of_range(const ArchiveFile& file, const Layer& layer, const CancelToken& cancel) {
  Sha256 sha;
  for (std::uint64_t at = 0; at < layer.size_bytes; at += kReadBytes) {
    cancel.check("reading the layers of an archive");
    sha.update(read_range(file, layer.offset + at, std::min(kReadBytes, layer.size_bytes - at)));
  }
  return sha.finish().str();
}

std::optional<std::string_view> compression(const ArchiveFile& file, const Layer& layer) {
  return compression_of(read_range(file, layer.offset, std::min<std::uint64_t>(6, layer.size_bytes)));
}

// Of an image whose archive has its manifest: the files of the layers are called by their digests, and the manifest says the same.
RegistryImage as_it_is(const ArchiveFile& file) {
  const Archive& archive = file.archive();
  RegistryImage image{file.documents().manifest, kManifestType, archive.manifest_digest, {{archive.config_digest, archive.config}}};
  const Json manifest = parse_untrusted_json(image.manifest, "the manifest");
  if (const auto type = manifest.find("mediaType"); type != manifest.end() && type->is_string()) image.media_type = type->get<std::string>();
  for (const Layer& layer : archive.layers)
    image.blobs.push_back({"sha256:" + layer.member.substr(kBlobFolder.size()), {layer.offset, layer.size_bytes}});
  return image;
}

// Keys are sorted by the library and nothing depends on when or where: the same archive gives the same manifest, and with it the same digest.
RegistryImage made_from_index(const ArchiveFile& file, const CancelToken& cancel) {
  const Archive& archive = file.archive();
  RegistryImage image{{}, kManifestType, {}, {{archive.config_digest, archive.config}}};
  Json layers = Json::array();
  for (const Layer& layer : archive.layers) {
    const auto packed = compression(file, layer);
    if (packed && *packed != "gzip" && *packed != "zstd")
      throw BadData(fmt::format("archive '{}' has a layer that is compressed with {}, which no puller knows", file.path().string(), *packed),
                    "Package the environment again with create-tar.");
    const std::string digest = packed ? digest_of_range(file, layer, cancel) : layer.diff_id;
    layers.push_back({{"mediaType", packed ? fmt::format("{}+{}", kLayerType, *packed) : kLayerType}, {"digest", digest}, {"size", layer.size_bytes}});
    image.blobs.push_back({digest, {layer.offset, layer.size_bytes}});
  }
  image.manifest = Json{{"schemaVersion", 2},
                        {"mediaType", kManifestType},
                        {"config", {{"mediaType", kConfigType}, {"digest", archive.config_digest}, {"size", archive.config.size_bytes}}},
                        {"layers", std::move(layers)}}.dump();
  image.digest = Sha256::of(image.manifest).str();
  return image;
}

RegistryBlob parse_descriptor(const Json& descriptor, std::string_view what) {
  const auto digest = descriptor.is_object() ? descriptor.find("digest") : descriptor.end();
  const auto size = descriptor.is_object() ? descriptor.find("size") : descriptor.end();
  if (digest == descriptor.end() || size == descriptor.end() || !digest->is_string() || !size->is_number_unsigned())
    throw BadData(fmt::format("the manifest describes {} without digest or size", what));
  RegistryBlob blob{digest->get<std::string>(), {0, size->get<std::uint64_t>()}};
  if (!blob.digest.starts_with("sha256:") || !Digest::is_valid(blob.digest)) throw BadData(fmt::format("the manifest names {} by another digest than sha256", what));
  return blob;
}

Json parse_manifest(std::string_view text) {
  Json manifest = parse_untrusted_json(text, "the manifest");
  if (!manifest.is_object() || !manifest.contains("config") || !manifest.contains("layers") || !manifest["layers"].is_array())
    throw BadData("the manifest is not one of an image");
  return manifest;
}

}  // namespace

const RegistryBlob* RegistryImage::find(const std::string& wanted) const {
  const auto found = std::find_if(blobs.begin(), blobs.end(), [&](const RegistryBlob& blob) { return blob.digest == wanted; });
  return found == blobs.end() ? nullptr : &*found;
}

bool needs_layer_digests(const ArchiveFile& file) {
  const Archive& archive = file.archive();
  return archive.manifest_digest.empty() &&
         std::any_of(archive.layers.begin(), archive.layers.end(), [&](const Layer& layer) { return compression(file, layer).has_value(); });
}

RegistryImage registry_image(const ArchiveFile& file, const CancelToken& cancel) {
  return file.archive().manifest_digest.empty() ? made_from_index(file, cancel) : as_it_is(file);
}

RegistryBlob config_of_manifest(std::string_view manifest) {
  RegistryBlob config = parse_descriptor(parse_manifest(manifest)["config"], "the config");
  if (config.span.size_bytes == 0 || config.span.size_bytes > kMaxJsonBytes) throw BadData("the manifest names a config of an absurd size");
  return config;
}

DescribedImage describe_pulled(std::string manifest_text, const std::string& manifest_digest, std::string config) {
  const Json manifest = parse_manifest(manifest_text);
  DescribedImage image;
  Archive& archive = image.archive;
  archive.config_digest = Sha256::of(config).str();
  archive.config.size_bytes = config.size();
  archive.manifest_digest = manifest_digest;
  describe_config(config, archive);
  const auto& layers = manifest["layers"];
  if (layers.size() != archive.identity.diff_ids.size())
    throw BadData(fmt::format("the manifest lists {} layers, the config {}", layers.size(), archive.identity.diff_ids.size()));
  for (size_t i = 0; i < layers.size(); ++i) {
    const RegistryBlob blob = parse_descriptor(layers[i], "a layer");
    if (blob.span.size_bytes > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) - archive.size_bytes) throw BadData("the layers are larger than any disk");
    const std::string& diff_id = archive.identity.diff_ids[i];
    archive.layers.push_back({std::string(kBlobFolder) + blob.digest.substr(7), diff_id, archive.size_bytes, blob.span.size_bytes, blob.digest != diff_id});
    archive.size_bytes += blob.span.size_bytes;
  }
  if (Sha256::of(manifest_text).str() != manifest_digest || !is_manifest_of(manifest_text, archive)) throw BadData("the manifest is not of this config and these layers");
  image.documents = {std::move(config), std::move(manifest_text)};
  return image;
}

}  // namespace riverbox::environment
