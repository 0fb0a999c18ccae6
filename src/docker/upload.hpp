// Bodies of gigabytes that lie in files: to a daemon on a unix socket the kernel moves them, not we. Internal to docker/.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "docker/api.hpp"

namespace riverbox::docker {

// Walks through the segments once. Tells the progress and has the next megabytes of a range fetched, never anything outside of it.
class UploadBody {
public:
  // The segments outlive the body. Throws InternalError for more than 2^63 bytes.
  UploadBody(const std::vector<Segment>& segments, LoadCallback progress);
  std::uint64_t size_bytes() const { return size_bytes_; }

  struct Piece {
    std::string_view bytes;  // from memory, or
    int fd = -1;             // from a file
    off_t offset = 0;
    size_t size = 0;         // 0: the end
  };
  // What comes next, in handy pieces; the same again until advance(). Throws what the callback throws.
  Piece next();
  void advance(size_t size);
  // Copies what comes next, up to `size` bytes; 0 at the end. Throws IoError, ImageImportError for a range that ends too early.
  size_t read(char* buffer, size_t size);
  [[noreturn]] void ended_early();

private:
  void tell();
  void fetch_ahead(const Segment& segment);

  const std::vector<Segment>& segments_;
  LoadCallback progress_;
  std::uint64_t size_bytes_ = 0, sent_bytes_ = 0, next_tell_ = 0;
  size_t at_ = 0, told_ = static_cast<size_t>(-1);  // segments
  std::uint64_t within_ = 0;  // offset in the segment
  std::uint64_t ahead_ = 0;   // up to there the file was asked for
};

// A POST that has begun before the rest of its body is known: the daemon sets up what it needs for a body that begins like this, and waits.
class BegunUpload {
public:
  // Sends the head and the beginning. Throws DockerConnectionError.
  BegunUpload(Api& api, const Call& call, std::string beginning);
  ~BegunUpload();
  BegunUpload(const BegunUpload&) = delete;
  BegunUpload& operator=(const BegunUpload&) = delete;
  const std::string& beginning() const { return beginning_; }
  // The daemon is there and has said nothing yet.
  bool waits() const;
  // The rest of the body; once. Throws as upload() does.
  Response finish(const Call& call, const std::vector<Segment>& rest, const LoadCallback& progress);

private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  std::string beginning_;
};

// One POST with this body over a connection of its own to the daemon's unix socket. The answer is read while the body is sent: a daemon may answer
// early and close. Throws like Api::send, what the body throws, and Cancelled or Timeout at most a fifth of a second after the token.
Response upload(Api& api, const Call& call, UploadBody& body);

}  // namespace riverbox::docker
