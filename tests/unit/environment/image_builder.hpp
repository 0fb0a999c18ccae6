// Archives made in memory, right ones and wrong ones.
#pragma once
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/sha256.hpp"

namespace testing {

// The lowest layer: whatever header fields a test wants.
class TarBuilder {
public:
  TarBuilder& add(const std::string& name, const std::string& data, char type = '0', const std::string& link = "") {
    return add_with_size(name, data, fmt::format("{:011o}", data.size()), type, link);
  }
  // `size_field` goes into the header as it is (12 bytes at most).
  TarBuilder& add_with_size(const std::string& name, const std::string& data, const std::string& size_field, char type = '0', const std::string& link = "") {
    std::string block(512, '\0');
    const auto put = [&](size_t at, size_t room, const std::string& text) { std::memcpy(&block[at], text.data(), std::min(room, text.size())); };
    put(0, 100, name);
    put(100, 8, "0000644");
    put(108, 8, "0000000");
    put(116, 8, "0000000");
    put(124, 12, size_field);
    put(136, 12, "00000000000");
    block[156] = type;
    put(157, 100, link);
    put(257, 8, std::string("ustar\0" "00", 8));
    std::memset(&block[148], ' ', 8);
    unsigned sum = 0;
    for (const char c : block) sum += static_cast<unsigned char>(c);
    put(148, 8, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
    bytes_ += block;
    bytes_ += data;
    pad();
    return *this;
  }
  TarBuilder& long_name(const std::string& name) { return add("././@LongLink", name + '\0', 'L'); }
  TarBuilder& pax(const std::string& records) { return add("PaxHeaders/x", records, 'x'); }
  static std::string record(const std::string& key, const std::string& value) {
    size_t size = key.size() + value.size() + 3, digits = 0;  // the length counts itself
    while (digits != std::to_string(size + digits).size()) digits = std::to_string(size + digits).size();
    size += digits;
    return fmt::format("{} {}={}\n", size, key, value);
  }
  const std::string& open_end() const { return bytes_; }
  std::string finish() const { return bytes_ + std::string(1024, '\0'); }

private:
  void pad() { bytes_.resize((bytes_.size() + 511) / 512 * 512, '\0'); }
  std::string bytes_;
};

inline std::string gzip(const std::string& plain) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, plain.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

inline std::string hex_of(const std::string& bytes) { return riverbox::Sha256::of(bytes).hex(); }

// One image. The fields may be spoilt before save().
struct Image {
  std::vector<std::string> layers = {std::string("layer one"), std::string(3000, 'x')};
  std::vector<std::string> repo_tags = {"hakuriver/env:base"};
  std::string created = "2026-11-21T23:10:12.372627458Z";
  bool oci = false, compressed = false;
  bool oci_manifest = false;  // of an OCI archive: index.json names an image manifest
  std::string config_override, manifest_override, index_override, oci_manifest_override;

  std::string config() const {
    if (!config_override.empty()) return config_override;
    std::string ids;
    for (const auto& layer : layers) ids += fmt::format("{}\"sha256:{}\"", ids.empty() ? "" : ",", hex_of(layer));
    return fmt::format(R"({{"architecture":"amd64","os":"linux","created":"{}","config":{{}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}})", created, ids);
  }
  std::string stored(size_t i) const { return compressed ? gzip(layers[i]) : layers[i]; }
  std::string layer_path(size_t i) const {
    if (oci) return "blobs/sha256/" + hex_of(stored(i));
    return hex_of(fmt::format("id {}", i)) + "/layer.tar";
  }
  std::string config_path() const { return oci ? "blobs/sha256/" + hex_of(config()) : hex_of(config()) + ".json"; }
  std::string manifest() const {
    if (!manifest_override.empty()) return manifest_override;
    std::string paths, tags;
    for (size_t i = 0; i < layers.size(); ++i) paths += fmt::format("{}\"{}\"", paths.empty() ? "" : ",", layer_path(i));
    for (const auto& tag : repo_tags) tags += fmt::format("{}\"{}\"", tags.empty() ? "" : ",", tag);
    return fmt::format(R"([{{"Config":"{}","RepoTags":{},"Layers":[{}]}}])", config_path(), tags.empty() ? "null" : "[" + tags + "]", paths);
  }
  std::string oci_manifest_text() const {
    if (!oci_manifest_override.empty()) return oci_manifest_override;
    const auto descriptor = [](const std::string& type, const std::string& bytes) {
      return fmt::format(R"({{"mediaType":"application/vnd.oci.image.{}","digest":"sha256:{}","size":{}}})", type, hex_of(bytes), bytes.size());
    };
    std::string blobs;
    for (size_t i = 0; i < layers.size(); ++i) blobs += (blobs.empty() ? "" : ",") + descriptor(compressed ? "layer.v1.tar+gzip" : "layer.v1.tar", stored(i));
    return fmt::format(R"({{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[{}]}})",
                       descriptor("config.v1+json", config()), blobs);
  }
  std::string manifest_digest() const { return "sha256:" + hex_of(oci_manifest_text()); }
  std::string index() const {
    if (!index_override.empty()) return index_override;
    if (!oci_manifest) return R"({"schemaVersion":2,"manifests":[]})";
    return fmt::format(R"({{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{}}}]}})",
                       manifest_digest(), oci_manifest_text().size());
  }
  TarBuilder members() const {
    TarBuilder tar;
    if (oci) tar.add("blobs/", "", '5').add("blobs/sha256/", "", '5');
    std::vector<std::string> written;
    for (size_t i = 0; i < layers.size(); ++i) {
      const std::string path = layer_path(i);
      bool same_name = false;
      std::string twin;
      for (size_t k = 0; k < i; ++k) {
        if (written[k] == path) same_name = true;
        if (layers[k] == layers[i] && twin.empty()) twin = written[k];
      }
      written.push_back(path);
      if (same_name) continue;
      if (!oci) {
        const std::string folder = path.substr(0, 65);
        tar.add(folder, "", '5').add(folder + "VERSION", "1.0").add(folder + "json", "{}");
      }
      if (!twin.empty() && !oci) tar.add(path, "", '2', "../" + twin);
      else tar.add(path, stored(i));
    }
    tar.add(config_path(), config());
    if (oci) {
      if (oci_manifest) tar.add("blobs/sha256/" + manifest_digest().substr(7), oci_manifest_text());
      tar.add("index.json", index());
      tar.add("oci-layout", R"({"imageLayoutVersion":"1.0.0"})");
    }
    tar.add("manifest.json", manifest());
    if (!oci) tar.add("repositories", "{}");
    return tar;
  }
  std::string save() const { return members().finish(); }
};

class TemporaryFolder {
public:
  TemporaryFolder() {
    char name[] = "/tmp/riverbox-test-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, const std::string& bytes) const {
    const auto file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << bytes;
    return file;
  }

private:
  std::filesystem::path path_;
};

}  // namespace testing
