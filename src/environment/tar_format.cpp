#include "environment/tar_format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::environment {
namespace {

constexpr std::uint64_t kMaxSize = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) - (1u << 20);
constexpr size_t kMaxName = 4096;  // PATH_MAX
constexpr int kMaxLinkHops = 8;

std::string_view field(std::string_view block, size_t at, size_t size) { return block.substr(at, size); }

std::string text_field(std::string_view bytes) { return std::string(bytes.substr(0, bytes.find('\0'))); }

// Octal digits with blanks around them, or GNU base-256 when the top bit is set.
std::uint64_t number_field(std::string_view bytes, const char* what) {
  const auto first = static_cast<unsigned char>(bytes[0]);
  std::uint64_t value = 0;
  if (first & 0x80) {
    if (first & 0x40) throw BadData(fmt::format("a member has a negative {}", what));
    value = first & 0x3f;
    for (const char c : bytes.substr(1)) {
      if (value > (kMaxSize >> 8)) throw BadData(fmt::format("a member has an absurd {}", what));
      value = (value << 8) | static_cast<unsigned char>(c);
    }
  } else {
    size_t i = 0;
    while (i < bytes.size() && bytes[i] == ' ') ++i;
    for (; i < bytes.size() && bytes[i] >= '0' && bytes[i] <= '7'; ++i) value = value * 8 + static_cast<unsigned>(bytes[i] - '0');
    for (; i < bytes.size(); ++i) {
      if (bytes[i] != ' ' && bytes[i] != '\0') throw BadData(fmt::format("a member has a {} that is not a number", what));
    }
  }
  if (value > kMaxSize) throw BadData(fmt::format("a member has an absurd {}", what));
  return value;
}

bool has_data(char type) { return type == '0' || TarExtensions::is_extension(type); }

// "./a//b" -> "a/b". Throws for whatever could lead out of the archive, unless `..` is asked for (link targets).
std::string normalised(std::string_view path, bool allow_up) {
  if (path.size() > kMaxName) throw BadData(fmt::format("a member name is {} bytes long", path.size()));
  if (path.find('\0') != std::string_view::npos) throw BadData("a member name contains a NUL byte");
  if (path.starts_with('/')) throw BadData(fmt::format("member name '{}' is absolute", printable(path, 100)));
  std::vector<std::string_view> parts;
  for (size_t at = 0; at <= path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    at = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!allow_up || parts.empty()) throw BadData(fmt::format("member name '{}' leads out of the archive", printable(path, 100)));
      parts.pop_back();
      continue;
    }
    parts.push_back(part);
  }
  std::string out;
  for (const auto part : parts) {
    if (!out.empty()) out += '/';
    out += part;
  }
  return out;
}

// A symlink counts from its own folder, a hard link from the root.
std::string link_target(const TarHeader& header, const std::string& name) {
  if (header.link.empty()) throw BadData(fmt::format("link '{}' points nowhere", printable(name, 100)));
  if (header.link.starts_with('/')) throw BadData(fmt::format("link '{}' leads out of the archive", printable(name, 100)));
  const size_t slash = name.rfind('/');
  if (header.type == '1' || slash == std::string::npos) return normalised(header.link, true);
  return normalised(name.substr(0, slash + 1) + header.link, true);
}

}  // namespace

std::string normalised_name(std::string_view path) { return normalised(path, false); }

std::optional<std::string_view> compression_of(std::string_view first_bytes) {
  if (first_bytes.starts_with("\x1f\x8b")) return "gzip";
  if (first_bytes.starts_with("\x28\xb5\x2f\xfd")) return "zstd";
  if (first_bytes.starts_with("\xfd" "7zXZ")) return "xz";
  if (first_bytes.starts_with("BZh")) return "bzip2";
  return std::nullopt;
}

bool has_tar_checksum(std::string_view block) {
  std::int64_t as_unsigned = 0, as_signed = 0;  // old writers summed signed bytes
  for (size_t i = 0; i < kTarBlock; ++i) {
    const char c = i >= 148 && i < 156 ? ' ' : block[i];
    as_unsigned += static_cast<unsigned char>(c);
    as_signed += static_cast<signed char>(c);
  }
  try {
    const auto stated = static_cast<std::int64_t>(number_field(field(block, 148, 8), "checksum"));
    return stated == as_unsigned || stated == as_signed;
  } catch (const BadData&) {
    return false;
  }
}

std::optional<TarHeader> decode_tar_header(std::string_view block) {
  if (block.size() != kTarBlock) throw BadData("it ends within a tar header");
  if (block.find_first_not_of('\0') == std::string_view::npos) return std::nullopt;
  if (!has_tar_checksum(block)) throw BadData("a tar header has a wrong checksum");

  TarHeader header;
  header.type = block[156] == '\0' || block[156] == '7' ? '0' : block[156];
  header.name = text_field(field(block, 0, 100));
  header.link = text_field(field(block, 157, 100));
  header.size_bytes = number_field(field(block, 124, 12), "size");
  if (field(block, 257, 6) == std::string_view("ustar\0", 6)) {  // GNU ("ustar  ") keeps times where POSIX has the prefix
    const std::string prefix = text_field(field(block, 345, 155));
    if (!prefix.empty()) header.name = prefix + "/" + header.name;
  }
  // Before POSIX a directory was a regular file with a slash at the end.
  if (header.type == '0' && header.name.ends_with('/')) header.type = '5';
  if (!has_data(header.type) && header.size_bytes != 0) {
    throw BadData(fmt::format("member '{}' of type '{}' claims to have data", printable(header.name, 100), printable({&header.type, 1})));
  }
  return header;
}

std::string encode_tar_header(std::string_view name, std::uint64_t size_bytes) {
  std::string block(kTarBlock, '\0');
  const auto put = [&](size_t at, std::string_view text) { block.replace(at, text.size(), text); };
  put(0, name);
  put(100, "0000644");
  put(108, "0000000");
  put(116, "0000000");
  constexpr std::uint64_t kMaxOctal = 077777777777;  // 8 GiB - 1; above that GNU's base-256, which every engine reads
  if (size_bytes <= kMaxOctal) {
    put(124, fmt::format("{:011o}", size_bytes));
  } else {
    block[124] = '\x80';
    for (size_t i = 0; i < 8; ++i) block[128 + i] = static_cast<char>(size_bytes >> (56 - 8 * i) & 0xff);
  }
  put(136, "00000000000");
  block[156] = '0';
  put(257, std::string_view("ustar\0" "00", 8));
  put(148, "        ");
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  put(148, fmt::format("{:06o}", sum));
  block[154] = '\0';
  return block;
}

void TarExtensions::add(char type, std::string_view data) {
  if (type == 'x' || type == 'g') return add_pax(data, type == 'g');
  std::optional<std::string>& target = type == 'L' ? name_ : link_;
  if (target) throw BadData("a member has two long names");
  target = text_field(data);
  if (target->empty()) throw BadData("a member has an empty long name");
}

void TarExtensions::add_pax(std::string_view records, bool global) {
  if (!global && std::exchange(seen_pax_, true)) throw BadData("a member has two pax headers");
  while (!records.empty()) {
    const size_t space = records.find(' ');
    const auto size = space == std::string_view::npos ? std::nullopt : parse_u64(records.substr(0, space));
    if (!size || *size <= space + 1 || *size > records.size() || records[*size - 1] != '\n') throw BadData("a pax header is malformed");
    const std::string_view record = records.substr(space + 1, *size - space - 2);
    records.remove_prefix(*size);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos || equals == 0) throw BadData("a pax header is malformed");
    const std::string_view key = record.substr(0, equals), value = record.substr(equals + 1);
    if (key.starts_with("GNU.sparse.")) throw BadData("it has sparse members, which image archives never have");
    if (key != "path" && key != "linkpath" && key != "size") continue;
    if (global) throw BadData("a global pax header renames or resizes members");
    if (key == "size") {
      size_bytes_ = parse_u64(value);
      if (!size_bytes_ || *size_bytes_ > kMaxSize) throw BadData("a pax header has an absurd size");
    } else {
      std::optional<std::string>& target = key == "path" ? name_ : link_;
      if (target) throw BadData("a member has two long names");
      target = std::string(value);
    }
  }
}

void TarExtensions::apply(TarHeader& header) {
  if (name_) {
    header.name = std::move(*name_);
    if (header.type == '0' && header.name.ends_with('/')) header.type = '5';
  }
  if (link_) header.link = std::move(*link_);
  if (size_bytes_) header.size_bytes = *size_bytes_;
  if (!has_data(header.type) && header.size_bytes != 0) throw BadData("a member that is no regular file claims to have data");
  *this = {};
}

std::string TarMembers::add(const TarHeader& header, std::uint64_t offset) {
  if (++count_ > kMaxTarMembers) throw BadData(fmt::format("it has more than {} members", kMaxTarMembers));
  if (header.name.empty()) throw BadData("a member has no name");
  std::string name = normalised(header.name, false);
  TarMember member{header.type, offset, header.size_bytes, {}};
  switch (header.type) {
    case '0': break;
    case '1':
    case '2': member.link = link_target(header, name); break;
    case '5': break;
    case '3':
    case '4': throw BadData(fmt::format("member '{}' is a device node", printable(name, 100)));
    case '6': throw BadData(fmt::format("member '{}' is a FIFO", printable(name, 100)));
    default:
      throw BadData(fmt::format("member '{}' is of the unknown type '{}'", printable(name, 100), printable({&header.type, 1})));
  }
  if (name.empty()) {
    if (header.type != '5') throw BadData("a member has no name");
    return name;
  }
  const auto [it, is_new] = members_.emplace(name, std::move(member));
  if (!is_new && !(it->second.type == '5' && header.type == '5')) {
    throw BadData(fmt::format("member '{}' is there twice", printable(name, 100)));
  }
  return name;
}

std::pair<std::string, TarMember> TarMembers::resolve(std::string_view path) const {
  std::string name = normalised(path, false);
  for (int hop = 0; hop <= kMaxLinkHops; ++hop) {
    const auto it = members_.find(name);
    if (it == members_.end()) throw BadData(fmt::format("member '{}' is missing", printable(name, 100)));
    const TarMember& member = it->second;
    if (member.type == '0') return {name, member};
    if (member.type == '5') throw BadData(fmt::format("member '{}' is a directory", printable(name, 100)));
    name = member.link;
  }
  throw BadData(fmt::format("the links of member '{}' go in circles", printable(path, 100)));
}

void TarMembers::check_links() const {
  for (const auto& [name, member] : members_) {
    if (member.type == '1' || member.type == '2') resolve(name);
  }
}

}  // namespace riverbox::environment
