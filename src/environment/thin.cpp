#include "environment/thin.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>

#include "base/json.hpp"
#include "environment/image_documents.hpp"
#include "environment/tar_format.hpp"

namespace riverbox::environment {
namespace {

// For every layer the first one with the same file: equal layers are one file, named twice or behind a link.
std::vector<size_t> first_with_file(const Archive& archive) {
  std::map<std::string_view, size_t> first;
  std::vector<size_t> result;
  result.reserve(archive.layers.size());
  for (const Layer& layer : archive.layers) result.push_back(first.emplace(layer.member, result.size()).first->second);
  return result;
}

Shipment ship(const Archive& archive, const std::function<bool(size_t layer)>& needed) {
  const std::vector<size_t> first = first_with_file(archive);
  std::vector<bool> travels(first.size(), false);
  for (size_t i = 0; i < first.size(); ++i) {
    if (needed(i)) travels[first[i]] = true;
  }
  Shipment shipment;
  for (size_t i = 0; i < first.size(); ++i) {
    if (!travels[first[i]]) ++shipment.left_out;
    if (first[i] != i || !travels[i]) continue;
    shipment.layers.push_back(i);
    shipment.layer_bytes += archive.layers[i].size_bytes;
  }
  return shipment;
}

// The digest of a layer's blob. Only of archives with a manifest_digest: their members are called so.
std::string blob_of(const Layer& layer) { return "sha256:" + layer.member.substr(std::string_view("blobs/sha256/").size()); }

std::string config_name(const Archive& archive) {
  const std::string hex = archive.config_digest.substr(7);
  return archive.manifest_digest.empty() ? hex + ".json" : "blobs/sha256/" + hex;
}

// The manifest says itself what it is, where it says it.
std::string manifest_type(const Documents& documents) {
  const auto manifest = nlohmann::json::parse(documents.manifest, nullptr, false);
  const auto type = manifest.find("mediaType");
  return type != manifest.end() && type->is_string() ? type->get<std::string>() : kOciManifestType;
}

// Puts members together; small ones share a segment.
class StreamBuilder {
public:
  void add(const std::string& name, std::string_view data) {
    memory() += encode_tar_header(name, data.size());
    memory() += data;
    pad(data.size());
  }
  void add(const std::string& name, int fd, const Layer& layer) {
    memory() += encode_tar_header(name, layer.size_bytes);
    if (layer.size_bytes > 0) segments_.push_back({{}, fd, layer.offset, layer.size_bytes});
    pad(layer.size_bytes);
  }
  std::vector<docker::Segment> finish() {
    memory().append(2 * kTarBlock, '\0');
    return std::move(segments_);
  }

private:
  std::string& memory() {
    if (segments_.empty() || segments_.back().fd >= 0) segments_.emplace_back();
    return segments_.back().bytes;
  }
  void pad(std::uint64_t size_bytes) { memory().append(static_cast<size_t>(padded(size_bytes) - size_bytes), '\0'); }
  std::vector<docker::Segment> segments_;
};

}  // namespace

size_t common_chain(const std::vector<std::string>& diff_ids, const std::vector<std::vector<std::string>>& images) {
  size_t longest = 0;
  for (const auto& image : images) {
    const auto [mine, theirs] = std::mismatch(diff_ids.begin(), diff_ids.end(), image.begin(), image.end());
    longest = std::max(longest, static_cast<size_t>(mine - diff_ids.begin()));
  }
  return longest;
}

Shipment ship_all(const Archive& archive) {
  return ship(archive, [](size_t) { return true; });
}

Shipment ship_above(const Archive& archive, size_t present) {
  return ship(archive, [&](size_t layer) { return layer >= present; });
}

Shipment ship_without(const Archive& archive, const std::set<std::string>& blobs) {
  if (archive.manifest_digest.empty()) return ship_all(archive);
  return ship(archive, [&](size_t layer) { return !blobs.contains(blob_of(archive.layers[layer])); });
}

std::set<std::string> layer_blobs(const Archive& archive) {
  std::set<std::string> blobs;
  if (archive.manifest_digest.empty()) return blobs;
  for (const Layer& layer : archive.layers) blobs.insert(blob_of(layer));
  return blobs;
}

std::vector<std::string> names_in_stream(const Archive& archive) {
  std::vector<std::string> names;
  names.reserve(archive.layers.size());
  if (!archive.manifest_digest.empty()) {
    for (const Layer& layer : archive.layers) names.push_back(layer.member);
  } else {
    for (const size_t first : first_with_file(archive)) names.push_back(fmt::format("layer-{}.tar", first + 1));
  }
  return names;
}

std::string stream_beginning() {
  std::string member = encode_tar_header("oci-layout", std::string_view(kOciLayout).size()) + std::string(kOciLayout);
  member.resize(static_cast<size_t>(kTarBlock + padded(std::string_view(kOciLayout).size())));
  return member;
}

std::vector<docker::Segment> image_stream(const Archive& archive, const Documents& documents, const Shipment& shipment, const std::string& tag, int fd) {
  StreamBuilder stream;
  const std::vector<std::string> names = names_in_stream(archive);
  if (!archive.manifest_digest.empty()) stream.add("oci-layout", kOciLayout);  // first: stream_beginning()
  for (const size_t i : shipment.layers) stream.add(names[i], fd, archive.layers[i]);
  stream.add(config_name(archive), documents.config);
  if (!archive.manifest_digest.empty()) {
    stream.add("blobs/sha256/" + archive.manifest_digest.substr(7), documents.manifest);
    stream.add("index.json", index_json(archive.manifest_digest, documents.manifest.size(), manifest_type(documents), tag));
  }
  stream.add("manifest.json", manifest_json(config_name(archive), tag, names));
  return stream.finish();
}

}  // namespace riverbox::environment
