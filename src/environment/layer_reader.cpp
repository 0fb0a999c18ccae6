#include "environment/layer_reader.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "environment/layer_bytes.hpp"
#include "environment/tar_format.hpp"

namespace riverbox::environment {
namespace {

constexpr std::string_view kWhiteout = ".wh.", kOpaque = ".wh..wh..opq", kReserved = ".wh..wh.";

// Octal or GNU base-256. What is malformed counts as 0: the size, on which all depends, is read strictly elsewhere.
std::int64_t number_at(std::string_view block, size_t at, size_t size) {
  const std::string_view bytes = block.substr(at, size);
  std::uint64_t value = 0;
  if (static_cast<unsigned char>(bytes[0]) & 0x80) {
    // two's complement; the sign is the second bit of the first byte
    value = static_cast<unsigned char>(bytes[0]) & 0x40 ? ~std::uint64_t{0} : 0;
    for (const char c : bytes.substr(1)) value = value << 8 | static_cast<unsigned char>(c);
    return static_cast<std::int64_t>(value);
  }
  for (const char c : bytes.substr(std::min(bytes.find_first_not_of(' '), bytes.size()))) {
    if (c < '0' || c > '7') break;
    value = value * 8 + static_cast<unsigned>(c - '0');
  }
  return static_cast<std::int64_t>(value);
}

// Layers of old builders begin with "/"; Docker unpacks those below the root of the image, too.
std::string path_in_layer(std::string_view text) {
  while (text.starts_with('/')) text.remove_prefix(1);
  return normalised_name(text);
}

class Reader {
public:
  Reader(LayerBytes& bytes, LayerVisitor& visitor, const CancelToken& cancel) : bytes_(bytes), visitor_(visitor), cancel_(cancel) {}

  void run() {
    for (;;) {
      cancel_.check("reading a layer");
      const std::string block = bytes_.read(kTarBlock);
      if (block.empty()) break;  // Go reads layers without an end mark, so they exist
      auto header = decode_tar_header(block);
      if (!header) break;
      if (TarExtensions::is_extension(header->type)) extension(*header);
      else member(block, *header);
    }
    if (extensions_.pending()) throw BadData("it is truncated after a long name");
  }

private:
  [[noreturn]] static void truncated() { throw BadData("it is truncated"); }

  void extension(const TarHeader& header) {
    if (header.size_bytes > kMaxTarExtensionBytes) throw BadData("a member has an absurdly long name");
    std::string data = bytes_.read(static_cast<size_t>(padded(header.size_bytes)));
    if (data.size() < header.size_bytes) truncated();
    extensions_.add(header.type, std::string_view(data).substr(0, static_cast<size_t>(header.size_bytes)));
  }

  void member(const std::string& block, TarHeader& header) {
    extensions_.apply(header);
    if (++count_ > kMaxLayerEntries) throw BadData(fmt::format("it has more than {} entries", kMaxLayerEntries));
    const std::string path = path_in_layer(header.name);
    std::uint64_t wanted = 0;
    LayerEntry entry;
    if (!path.empty() && !special(path)) {  // "./" is the root itself
      entry = entry_of(block, header, path);
      wanted = std::min(visitor_.entry(entry), header.size_bytes);
    }
    std::uint64_t left = padded(header.size_bytes);
    if (wanted > 0) {
      std::string content = bytes_.read(static_cast<size_t>(wanted));
      if (content.size() < wanted) truncated();
      left -= wanted;
      visitor_.content(entry, std::move(content));
    }
    if (!bytes_.skip(left)) truncated();
  }

  // Whiteouts, and what only AUFS had a use for.
  bool special(const std::string& path) {
    const size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash);
    const std::string_view name = slash == std::string::npos ? std::string_view(path) : std::string_view(path).substr(slash + 1);
    if (!name.starts_with(kWhiteout)) return false;
    if (name == kOpaque) {
      visitor_.opaque(folder);
    } else if (!name.starts_with(kReserved)) {
      const std::string_view hidden = name.substr(kWhiteout.size());
      if (hidden.empty() || hidden == "." || hidden == "..") throw BadData(fmt::format("'{}' deletes nothing that can be named", printable(path, 100)));
      visitor_.whiteout(folder.empty() ? std::string(hidden) : fmt::format("{}/{}", folder, hidden));
    }
    return true;
  }

  static LayerEntry entry_of(const std::string& block, const TarHeader& header, const std::string& path) {
    LayerEntry entry{.type = header.type, .path = path, .size_bytes = header.type == '0' ? header.size_bytes : 0};
    if (header.type < '0' || header.type > '6')
      throw BadData(fmt::format("member '{}' is of the unknown type '{}'", printable(path, 100), printable({&header.type, 1})));
    if (header.type == '1') entry.link = path_in_layer(header.link);
    if (header.type == '2') entry.link = header.link;
    entry.mode = static_cast<std::uint32_t>(number_at(block, 100, 8)) & 07777;
    entry.uid = static_cast<std::uint32_t>(number_at(block, 108, 8));
    entry.gid = static_cast<std::uint32_t>(number_at(block, 116, 8));
    entry.modified = number_at(block, 136, 12);
    if (header.type == '3' || header.type == '4') {
      entry.device_major = static_cast<std::uint32_t>(number_at(block, 329, 8));
      entry.device_minor = static_cast<std::uint32_t>(number_at(block, 337, 8));
    }
    return entry;
  }

  LayerBytes& bytes_;
  LayerVisitor& visitor_;
  const CancelToken& cancel_;
  TarExtensions extensions_;
  std::uint64_t count_ = 0;
};

}  // namespace

void read_layer(int fd, const std::filesystem::path& path_for_message, const Layer& layer, LayerVisitor& visitor, const CancelToken& cancel) {
  const auto bytes = open_layer(fd, path_for_message, layer);
  Reader(*bytes, visitor, cancel).run();
}

}  // namespace riverbox::environment
