// The packets of the SSH File Transfer Protocol, version 3 (draft-ietf-secsh-filexfer-02) with OpenSSH's extensions: bytes to requests, answers to bytes. Pure.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace riverbox::ssh::sftp {

enum class Type : std::uint8_t {
  init = 1, version = 2, open = 3, close = 4, read = 5, write = 6, lstat = 7, fstat = 8, setstat = 9, fsetstat = 10, opendir = 11, readdir = 12, remove = 13,
  mkdir = 14, rmdir = 15, realpath = 16, stat = 17, rename = 18, readlink = 19, symlink = 20,
  status = 101, handle = 102, data = 103, name = 104, attrs = 105, extended = 200, extended_reply = 201,
};

enum class Status : std::uint32_t { ok = 0, eof = 1, no_such_file = 2, permission_denied = 3, failure = 4, bad_message = 5, unsupported = 8 };

// Bits of Request::flags of an open.
inline constexpr std::uint32_t kOpenRead = 1, kOpenWrite = 2, kOpenAppend = 4, kOpenCreate = 8, kOpenTruncate = 16, kOpenExclusive = 32;

struct Attributes {
  std::optional<std::uint64_t> size;
  std::optional<std::pair<std::uint32_t, std::uint32_t>> owner;  // uid, gid
  std::optional<std::uint32_t> permissions;                      // as in st_mode
  std::optional<std::pair<std::uint32_t, std::uint32_t>> times;  // last access, last change
  bool operator==(const Attributes&) const = default;
};

// All that a request may have; which of it counts depends on the type.
struct Request {
  Type type = Type::init;
  std::uint32_t id = 0;       // of init: the version
  std::string_view extension;  // of extended: its name
  std::string_view path, second;  // `second`: of rename, symlink and the like
  std::string_view handle, data;
  std::uint64_t offset = 0;
  std::uint32_t length = 0, flags = 0;
  Attributes attributes;
};

// A packet without the length before it. nullopt: it ends too early, or a name in it has a NUL; `id` is told then if it is there. The views point into `bytes`.
std::optional<Request> parse_request(std::string_view bytes, std::optional<std::uint32_t>* id = nullptr);

inline constexpr std::uint32_t kMaxPacket = 256 << 10;  // as OpenSSH
// The length of the packet that `bytes` begins with, without the four of the length; nullopt: they are not there yet. Above kMaxPacket: the stream is lost.
std::optional<std::uint32_t> packet_size(std::string_view bytes);

// An answer under construction.
class Answer {
public:
  Answer(Type type, std::uint32_t id) { u8(static_cast<std::uint8_t>(type)), u32(id); }
  Answer& u8(std::uint8_t value) { return bytes_ += static_cast<char>(value), *this; }
  Answer& u32(std::uint32_t value);
  Answer& u64(std::uint64_t value) { return u32(static_cast<std::uint32_t>(value >> 32)).u32(static_cast<std::uint32_t>(value)); }
  Answer& text(std::string_view value) { return u32(static_cast<std::uint32_t>(value.size())), bytes_ += value, *this; }
  Answer& attributes(const Attributes& value);
  // The length and the packet.
  std::string framed() const;

private:
  std::string bytes_;
};

std::string status_answer(std::uint32_t id, Status status, std::string_view message);

}  // namespace riverbox::ssh::sftp
