// Hijacked connections to the daemon and Docker's 8-byte multiplexing header.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace riverbox::docker {

// A hijacked, bidirectional byte stream (unix, TCP or TLS; through libcurl's CONNECT_ONLY). Not thread-safe.
// Non-blocking: wait for wait_fd() to become readable or writable.
class Stream {
public:
  virtual ~Stream() = default;
  virtual int wait_fd() const = 0;
  // Bytes read; 0 = end of stream; nullopt = would block. Throws DockerConnectionError.
  virtual std::optional<size_t> read_some(char* buffer, size_t size) = 0;
  // Bytes written; nullopt = would block. Throws DockerConnectionError.
  virtual std::optional<size_t> write_some(const char* bytes, size_t size) = 0;
  // Tells the other side that no more input comes (TLS: close_notify is not sent, a no-op there).
  virtual void shutdown_write() = 0;
};

// Incremental parser of the frames of a stream without TTY: {type, 0, 0, 0, big-endian size} payload...
class Demux {
public:
  // Calls sink(is_stderr, bytes) for what can be decoded. Throws DockerError on a bad header.
  void feed(std::string_view bytes, const std::function<void(bool is_stderr, std::string_view)>& sink);
  bool at_frame_boundary() const { return header_size_ == 0 && left_ == 0; }

private:
  unsigned char header_[8] = {};
  size_t header_size_ = 0;
  std::uint32_t left_ = 0;
  bool is_stderr_ = false;
};

}  // namespace riverbox::docker
