#include "ssh/sftp_packet.hpp"

namespace riverbox::ssh::sftp {
namespace {

constexpr std::uint32_t kHasSize = 1, kHasOwner = 2, kHasPermissions = 4, kHasTimes = 8, kHasExtended = 0x80000000;

// Reads from the front; once something was missing, everything is.
class Reader {
public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  bool good() const { return good_; }
  std::uint8_t u8() { return take(1) ? static_cast<std::uint8_t>(taken_[0]) : 0; }
  std::uint32_t u32() {
    if (!take(4)) return 0;
    std::uint32_t value = 0;
    for (const char c : taken_) value = value << 8 | static_cast<unsigned char>(c);
    return value;
  }
  std::uint64_t u64() {
    const std::uint64_t high = u32();
    return high << 32 | u32();
  }
  std::string_view text() {
    const std::uint32_t size = u32();
    return take(size) ? taken_ : std::string_view{};
  }
  // For the kernel a NUL would be its end.
  std::string_view path() {
    const std::string_view value = text();
    if (value.find('\0') != std::string_view::npos) good_ = false;
    return value;
  }
  Attributes attributes() {
    Attributes all;
    const std::uint32_t flags = u32();
    if (flags & kHasSize) all.size = u64();
    if (flags & kHasOwner) all.owner = pair();
    if (flags & kHasPermissions) all.permissions = u32();
    if (flags & kHasTimes) all.times = pair();
    if (flags & kHasExtended)
      for (std::uint32_t left = u32(); left > 0 && good_; --left) text(), text();
    return all;
  }

private:
  bool take(size_t size) {
    good_ = good_ && rest_.size() >= size;
    if (!good_) return false;
    taken_ = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return true;
  }
  std::pair<std::uint32_t, std::uint32_t> pair() {
    const std::uint32_t first = u32();
    return {first, u32()};
  }
  std::string_view rest_, taken_;
  bool good_ = true;
};

void read_extended(Reader& in, Request& request) {
  const std::string_view name = request.extension = in.text();
  if (name == "posix-rename@openssh.com" || name == "hardlink@openssh.com") {
    request.path = in.path();
    request.second = in.path();
  } else if (name == "statvfs@openssh.com" || name == "expand-path@openssh.com") {
    request.path = in.path();
  } else if (name == "fsync@openssh.com" || name == "fstatvfs@openssh.com") {
    request.handle = in.text();
  } else if (name == "lsetstat@openssh.com") {
    request.path = in.path();
    request.attributes = in.attributes();
  }
}

}  // namespace

std::optional<Request> parse_request(std::string_view bytes, std::optional<std::uint32_t>* id) {
  Reader in(bytes);
  Request request;
  request.type = static_cast<Type>(in.u8());
  request.id = in.u32();
  if (id && in.good()) *id = request.id;
  switch (request.type) {
    case Type::open:
      request.path = in.path();
      request.flags = in.u32();
      request.attributes = in.attributes();
      break;
    case Type::close:
    case Type::fstat:
    case Type::readdir: request.handle = in.text(); break;
    case Type::read:
      request.handle = in.text();
      request.offset = in.u64();
      request.length = in.u32();
      break;
    case Type::write:
      request.handle = in.text();
      request.offset = in.u64();
      request.data = in.text();
      break;
    case Type::fsetstat:
      request.handle = in.text();
      request.attributes = in.attributes();
      break;
    case Type::setstat:
    case Type::mkdir:
      request.path = in.path();
      request.attributes = in.attributes();
      break;
    case Type::lstat:
    case Type::stat:
    case Type::opendir:
    case Type::remove:
    case Type::rmdir:
    case Type::realpath:
    case Type::readlink: request.path = in.path(); break;
    case Type::rename:
    case Type::symlink:
      request.path = in.path();
      request.second = in.path();
      break;
    case Type::extended: read_extended(in, request); break;
    default: break;  // init needs no more, and what is unknown is for the server to refuse
  }
  if (!in.good()) return std::nullopt;
  return request;
}

std::optional<std::uint32_t> packet_size(std::string_view bytes) {
  if (bytes.size() < 4) return std::nullopt;
  return Reader(bytes).u32();
}

Answer& Answer::u32(std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) bytes_ += static_cast<char>(value >> shift);
  return *this;
}

Answer& Answer::attributes(const Attributes& value) {
  u32((value.size ? kHasSize : 0) | (value.owner ? kHasOwner : 0) | (value.permissions ? kHasPermissions : 0) | (value.times ? kHasTimes : 0));
  if (value.size) u64(*value.size);
  if (value.owner) u32(value.owner->first).u32(value.owner->second);
  if (value.permissions) u32(*value.permissions);
  if (value.times) u32(value.times->first).u32(value.times->second);
  return *this;
}

std::string Answer::framed() const {
  std::string out;
  const auto size = static_cast<std::uint32_t>(bytes_.size());
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(size >> shift);
  return out + bytes_;
}

std::string status_answer(std::uint32_t id, Status status, std::string_view message) {
  return Answer(Type::status, id).u32(static_cast<std::uint32_t>(status)).text(message).text("en").framed();
}

}  // namespace riverbox::ssh::sftp
