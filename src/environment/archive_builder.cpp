#include "environment/archive_builder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/sha256.hpp"
#include "environment/archive_writer.hpp"
#include "environment/image_documents.hpp"
#include "environment/image_manifest.hpp"
#include "environment/layer_bytes.hpp"
#include "environment/parallel_gzip.hpp"
#include "environment/tar_format.hpp"
#include "os/fd.hpp"

namespace riverbox::environment {
namespace {

using OrderedJson = nlohmann::ordered_json;  // the same image gives the same bytes

constexpr size_t kChunk = 1u << 20;
constexpr std::uint64_t kCopyStep = 256u << 20;    // whole blocks of every file system: extents can be shared

std::string blob(const std::string& digest) { return "blobs/sha256/" + digest.substr(7); }

}  // namespace

// One layer on its way through the hash and, packed or not, into the file.
class ArchiveBuilder::LayerSink final : public ByteSink {
public:
  LayerSink(ArchiveBuilder& owner, std::uint64_t begin) : owner_(owner), begin_(begin) {
    if (owner.compression_ == Compression::none) return;
    packer_.emplace([this](std::string_view packed, std::uint64_t plain_bytes) {
      packed_sha_.update(packed);
      owner_.saved_bytes_ += plain_bytes - packed.size();
      store(packed);
    });
  }

  std::pair<char*, size_t> space() override {
    if (!chunk_) chunk_ = std::make_shared<Chunk>(kChunk);
    return {chunk_->bytes.get() + chunk_->size, kChunk - chunk_->size};
  }
  void filled(size_t size) override {
    chunk_->size += size;
    if (chunk_->size == kChunk) flush();
  }
  // What is in the file now, and the diff ID of it.
  std::pair<std::string, Blob> finish() {
    flush();
    if (packer_) packer_->finish();
    const std::string diff_id = owner_.hash_.finish().str();
    return {diff_id, {packer_ ? packed_sha_.finish().str() : diff_id, size_bytes_, packer_.has_value()}};
  }

private:
  void flush() {
    if (!chunk_ || chunk_->size == 0) return;
    const ChunkPtr chunk = std::exchange(chunk_, nullptr);
    owner_.hash_.push(chunk);
    if (packer_) packer_->push(chunk);
    else store(chunk->view());
  }
  void store(std::string_view bytes) {
    os::pwrite_all(owner_.fd_, bytes, begin_ + size_bytes_, owner_.path_);
    size_bytes_ += bytes.size();
    owner_.advance(begin_ + size_bytes_);
  }

  ArchiveBuilder& owner_;
  std::uint64_t begin_, size_bytes_ = 0;
  std::shared_ptr<Chunk> chunk_;
  Sha256 packed_sha_;
  std::optional<ParallelGzip> packer_;
};

ArchiveBuilder::ArchiveBuilder(int fd, std::filesystem::path path, Compression compression, std::function<void(std::uint64_t)> report)
    : fd_(fd), path_(std::move(path)), report_(std::move(report)), compression_(compression), write_back_(fd) {}
ArchiveBuilder::~ArchiveBuilder() = default;

size_t ArchiveBuilder::take_over(const os::Place& older_place, const Archive& older, const std::vector<std::string>& diff_ids) {
  try {
    return copy_leading_layers(older_place, older, diff_ids);
  } catch (...) {
    layers_.clear();
    if (::ftruncate(fd_, 0) != 0) throw IoError(fmt::format("empty '{}'", path_.string()), errno);
    throw;
  }
}

size_t ArchiveBuilder::copy_leading_layers(const os::Place& older_place, const Archive& older, const std::vector<std::string>& diff_ids) {
  const std::filesystem::path older_path = older_place.path();
  const os::UniqueFd from = open_archive_file(older_place);
  std::uint64_t end = 0;
  size_t count = 0;
  for (; count < std::min(diff_ids.size(), older.layers.size()); ++count) {
    const Layer& layer = older.layers[count];
    if (layer.diff_id != diff_ids[count]) break;
    if (layers_.contains(layer.diff_id)) continue;  // equal layers are stored once
    // The header is what this class would write: then so is everything before and in between.
    const std::string digest = layer.compressed ? digest_in_name(layer.member) : layer.diff_id;
    if (digest.empty() || layer.offset != end + kTarBlock || (layer.compressed && !is_gzip(from.get(), older_path, layer))) break;
    if (os::pread_exact(from.get(), kTarBlock, static_cast<off_t>(end), older_path) != encode_tar_header(blob(digest), layer.size_bytes)) break;
    layers_.emplace(layer.diff_id, Blob{digest, layer.size_bytes, layer.compressed});
    end = layer.offset + padded(layer.size_bytes);
  }
  for (std::uint64_t at = 0; at < end; advance(at)) at += os::copy_range(from.get(), fd_, at, std::min(kCopyStep, end - at), path_);
  size_bytes_ = end;
  return count;
}

void ArchiveBuilder::add_layer(const std::string& diff_id, LayerSource& source, size_t index) {
  if (layers_.contains(diff_id)) return;
  if (const std::string found = add_new_layer(source, index); found != diff_id) {
    throw UnusableSource(fmt::format("layer {} has the digest {} instead of {}", index + 1, found, diff_id));
  }
}

std::string ArchiveBuilder::add_new_layer(LayerSource& source, size_t index) {
  const std::uint64_t header_at = size_bytes_;
  LayerSink sink(*this, header_at + kTarBlock);
  source.write_layer(index, sink);
  const auto [diff_id, stored] = sink.finish();
  os::pwrite_all(fd_, encode_tar_header(blob(stored.digest), stored.size_bytes), header_at, path_);
  layers_.emplace(diff_id, stored);
  size_bytes_ = header_at + kTarBlock + padded(stored.size_bytes);  // what is left of the block reads as zeros
  return diff_id;
}

Archive ArchiveBuilder::finish(std::string_view config, const std::vector<std::string>& diff_ids, const std::string& tag) {
  const std::string config_digest = Sha256::of(config).str();
  OrderedJson layers = OrderedJson::array();
  std::vector<std::string> members;
  for (const std::string& diff_id : diff_ids) {
    const Blob& stored = layers_.at(diff_id);
    const char* type = stored.gzip ? "application/vnd.oci.image.layer.v1.tar+gzip" : "application/vnd.oci.image.layer.v1.tar";
    layers.push_back({{"mediaType", type}, {"digest", stored.digest}, {"size", stored.size_bytes}});
    members.push_back(blob(stored.digest));
  }
  const OrderedJson manifest{{"schemaVersion", 2},
                      {"mediaType", kOciManifestType},
                      {"config", {{"mediaType", "application/vnd.oci.image.config.v1+json"}, {"digest", config_digest}, {"size", config.size()}}},
                      {"layers", layers}};
  const std::string manifest_text = manifest.dump(), manifest_digest = Sha256::of(manifest_text).str();
  add_blob(blob(config_digest), config);
  add_blob(blob(manifest_digest), manifest_text);
  add_blob("index.json", index_json(manifest_digest, manifest_text.size(), kOciManifestType, tag));
  add_blob("oci-layout", kOciLayout);
  add_blob("manifest.json", manifest_json(blob(config_digest), tag, members));
  os::pwrite_all(fd_, std::string(2 * kTarBlock, '\0'), size_bytes_, path_);
  size_bytes_ += 2 * kTarBlock;
  Archive archive = read_archive(fd_, path_);
  if (archive.config_digest != config_digest) throw BadData(fmt::format("'{}' was changed while it was written", path_.string()));
  return archive;
}

void ArchiveBuilder::add_blob(std::string_view name, std::string_view bytes) {
  std::string member = encode_tar_header(name, bytes.size());
  member += bytes;
  member.resize(kTarBlock + padded(bytes.size()));
  os::pwrite_all(fd_, member, size_bytes_, path_);
  size_bytes_ += member.size();
}

void ArchiveBuilder::advance(std::uint64_t end) {
  if (end - told_bytes_ >= kTell) {
    told_bytes_ = end;
    report_(end + saved_bytes_);
  }
  write_back_.reached(end);
}

}  // namespace riverbox::environment
