// The tar format as far as image archives use it (ustar, GNU long names, pax), read strictly: what two readers could understand in
// different ways is refused. Pure: blocks in, facts out; who reads or hashes the data is the business of the callers.
// All functions throw BadData with the reason only; the caller knows the file.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace riverbox::environment {

inline constexpr std::uint64_t kTarBlock = 512;
inline constexpr std::uint64_t kMaxTarExtensionBytes = 1u << 20;  // a long name or a pax record set
inline constexpr size_t kMaxTarMembers = 100'000;

// Data is followed by zeros up to a whole block.
constexpr std::uint64_t padded(std::uint64_t size_bytes) { return (size_bytes + kTarBlock - 1) / kTarBlock * kTarBlock; }

struct TarHeader {
  char type = '0';  // '0' regular, '1' hard link, '2' symlink, '5' directory; 'L', 'K', 'x', 'g' describe the next member
  std::string name, link;
  std::uint64_t size_bytes = 0;  // of the data that follows
};

// Anything that is no tar file fails here at its first block.
bool has_tar_checksum(std::string_view block);
// nullopt: a block of zeros.
std::optional<TarHeader> decode_tar_header(std::string_view block);
// The block before the data of a regular file, the same bytes for the same arguments. `name` is at most 100 bytes long.
std::string encode_tar_header(std::string_view name, std::uint64_t size_bytes);
// "./a//b" is "a/b", "./" is "". Throws for a name that is absolute or leads out of the archive.
std::string normalised_name(std::string_view path);
// "gzip", "zstd", ... if these first bytes of a file are a compressed stream.
std::optional<std::string_view> compression_of(std::string_view first_bytes);

// GNU 'L'/'K' and pax 'x'/'g' members, which say something about the member after them.
class TarExtensions {
public:
  static bool is_extension(char type) { return type == 'L' || type == 'K' || type == 'x' || type == 'g'; }
  void add(char type, std::string_view data);
  // Overrides what the header could not hold, and forgets it.
  void apply(TarHeader& header);
  bool pending() const { return seen_pax_ || name_ || link_; }

private:
  void add_pax(std::string_view records, bool global);
  bool seen_pax_ = false;
  std::optional<std::string> name_, link_;
  std::optional<std::uint64_t> size_bytes_;
};

struct TarMember {
  char type = '0';
  std::uint64_t offset = 0, size_bytes = 0;
  std::string link;  // normalised, from the root of the archive
};

// The members of one archive by normalised name ("./a//b" is "a/b").
class TarMembers {
public:
  // `offset` is where the data begins. Returns the normalised name, empty for the root directory itself.
  std::string add(const TarHeader& header, std::uint64_t offset);
  // The regular file at `path`, links followed (legacy archives write equal layers as symlinks). Throws when it is missing.
  std::pair<std::string, TarMember> resolve(std::string_view path) const;
  bool contains(std::string_view path) const { return members_.find(path) != members_.end(); }
  // Every link ends at a regular file of this archive: no directory can be redirected, nothing leads outside.
  void check_links() const;
  size_t size() const { return members_.size(); }

private:
  std::map<std::string, TarMember, std::less<>> members_;
  size_t count_ = 0;
};

}  // namespace riverbox::environment
