#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/error.hpp"
#include "base/sha256.hpp"
#include "base/strings.hpp"
#include "environment/archive.hpp"
#include "environment/gzip_hasher.hpp"
#include "environment/image_manifest.hpp"
#include "environment/tar_format.hpp"

namespace riverbox::environment {
namespace {

constexpr std::uint64_t kMaxKeptBytes = 64u << 20;  // of all JSON members together

// What one regular member turned out to be.
struct Seen {
  std::string digest, inflated_digest;  // the latter of gzip only, empty when the stream is broken
  std::string start;                    // the first bytes
  std::optional<std::string> content;   // of small members that look like JSON
};

}  // namespace

struct ArchiveVerifier::Impl {
  enum class At { header, extension, data, padding, end };
  At at = At::header;
  std::uint64_t offset = 0;          // of the next byte
  std::uint64_t left = kTarBlock;    // of the current part
  std::string block;                 // header or extension data under construction
  std::uint64_t zero_blocks = 0;
  TarHeader header;
  TarMembers members;
  TarExtensions extensions;

  std::string name;                  // of the current regular member
  std::optional<Sha256> sha;
  std::unique_ptr<GzipHasher> gzip;
  Seen seen;
  std::map<std::string, Seen> files;
  std::uint64_t kept_bytes = 0;

  void go(At next, std::uint64_t size) {
    at = next;
    left = size;
  }

  // Parts of size zero end at once, so a state is only entered when it has bytes to take.
  void after_data() {
    const std::uint64_t fill = padded(header.size_bytes) - header.size_bytes;
    if (fill > 0) go(At::padding, fill);
    else go(At::header, kTarBlock);
  }

  void on_header() {
    std::optional<TarHeader> decoded = decode_tar_header(block);
    block.clear();
    if (!decoded) {
      if (extensions.pending()) throw BadData("it ends after a long name");
      zero_blocks = 1;
      return go(At::end, kTarBlock);
    }
    header = std::move(*decoded);
    if (TarExtensions::is_extension(header.type)) {
      if (header.size_bytes > kMaxTarExtensionBytes) throw BadData("a member has an absurdly long name");
      if (header.size_bytes > 0) return go(At::extension, header.size_bytes);
      extensions.add(header.type, {});
      return after_data();
    }
    extensions.apply(header);
    name = members.add(header, offset);
    if (header.type != '0') return go(At::header, kTarBlock);
    seen = {};
    sha.emplace();
    gzip.reset();
    if (header.size_bytes > 0) return go(At::data, header.size_bytes);
    end_member();
    after_data();
  }

  void on_data(std::string_view bytes) {
    if (left == header.size_bytes) begin_member(bytes);
    sha->update(bytes);
    if (gzip) gzip->feed(bytes);
    if (seen.start.size() < 6) seen.start += bytes.substr(0, 6 - seen.start.size());
    if (seen.content) *seen.content += bytes;
  }

  // A chunk may end after one byte: that is enough to tell JSON and gzip from everything else.
  void begin_member(std::string_view bytes) {
    if (bytes[0] == '\x1f') gzip = std::make_unique<GzipHasher>();
    const bool json = bytes[0] == '{' || bytes[0] == '[';
    if (json && header.size_bytes <= kMaxJsonBytes && kept_bytes + header.size_bytes <= kMaxKeptBytes) {
      kept_bytes += header.size_bytes;
      seen.content.emplace();
    }
  }

  void end_member() {
    seen.digest = sha->finish().str();
    sha.reset();
    if (gzip && gzip->ok()) seen.inflated_digest = gzip->finish();
    gzip.reset();
    if (const std::string promised = digest_in_name(name); !promised.empty() && promised != seen.digest) {
      throw BadData(fmt::format("member '{}' is damaged: its digest is {}", printable(name, 100), seen.digest));
    }
    files.emplace(name, std::move(seen));
  }

  // Takes a part of `bytes`, returns how much.
  size_t step(std::string_view bytes) {
    const auto n = static_cast<size_t>(std::min<std::uint64_t>(left, bytes.size()));
    const std::string_view part = bytes.substr(0, n);
    switch (at) {
      case At::header:
      case At::extension: block += part; break;
      case At::data: on_data(part); break;
      case At::padding: break;
      case At::end:
        if (part.find_first_not_of('\0') != std::string_view::npos) throw BadData("something follows the end of the archive");
        break;
    }
    offset += n;
    left -= n;
    if (left > 0) return n;
    switch (at) {
      case At::header: on_header(); break;
      case At::extension:
        extensions.add(header.type, block);
        block.clear();
        after_data();
        break;
      case At::data:
        end_member();
        after_data();
        break;
      case At::padding: go(At::header, kTarBlock); break;
      case At::end:
        ++zero_blocks;
        go(At::end, kTarBlock);
        break;
    }
    return n;
  }

  void check_complete() const {
    if (offset == 0) throw BadData("it is empty");
    if (at == At::data || at == At::padding) {
      throw BadData(fmt::format("it is truncated: member '{}' lacks {} of its bytes", printable(header.name, 100), left));
    }
    if (at != At::end || left != kTarBlock || zero_blocks < 2) throw BadData(fmt::format("it is truncated: there is no end mark at byte {}", offset));
  }

  void check_layer(size_t i, const Layer& layer) const {
    const Seen& file = files.at(layer.member);
    if (file.digest == layer.diff_id) return;
    const auto fail = [&](std::string_view found) {
      throw BadData(fmt::format("layer {} ('{}') is damaged: {} was expected, it is {}", i + 1, printable(layer.member, 100), layer.diff_id, found));
    };
    if (!layer.compressed) fail(file.digest);
    if (compression_of(file.start) == "gzip") {
      if (file.inflated_digest.empty()) fail("no valid gzip stream");
      if (file.inflated_digest != layer.diff_id) fail(file.inflated_digest);
      return;
    }
    // Other compressions are taken at the word of the blob's name, which end_member() has checked.
    if (digest_in_name(layer.member).empty()) fail("compressed in a way that cannot be checked");
  }
};

ArchiveVerifier::ArchiveVerifier() : impl_(std::make_unique<Impl>()) {}
ArchiveVerifier::~ArchiveVerifier() = default;

void ArchiveVerifier::feed(std::string_view bytes) {
  while (!bytes.empty()) bytes.remove_prefix(impl_->step(bytes));
}

Archive ArchiveVerifier::finish() {
  impl_->check_complete();
  Archive archive = describe_image(impl_->members, [&](const std::string& name, const TarMember& member, std::uint64_t size) {
    const Seen& file = impl_->files.at(name);
    if (size <= file.start.size() || member.size_bytes <= file.start.size()) return file.start.substr(0, static_cast<size_t>(size));
    if (!file.content) throw BadData(fmt::format("'{}' is not valid JSON", printable(name, 100)));
    return file.content->substr(0, static_cast<size_t>(size));
  });
  archive.size_bytes = impl_->offset;
  for (size_t i = 0; i < archive.layers.size(); ++i) impl_->check_layer(i, archive.layers[i]);
  return archive;
}

}  // namespace riverbox::environment
