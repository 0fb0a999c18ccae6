#include "docker/stream.hpp"

#include <algorithm>

#include "base/strings.hpp"
#include "docker/errors.hpp"

namespace riverbox::docker {

void Demux::feed(std::string_view bytes, const std::function<void(bool is_stderr, std::string_view)>& sink) {
  while (!bytes.empty()) {
    if (left_ == 0) {
      header_[header_size_++] = static_cast<unsigned char>(bytes.front());
      bytes.remove_prefix(1);
      if (header_size_ < sizeof header_) continue;
      header_size_ = 0;
      // 0 = stdin (the daemon echoes it to nobody), 1 = stdout, 2 = stderr, 3 = an error of the daemon itself
      if (header_[0] > 3 || header_[1] || header_[2] || header_[3])
        throw DockerError("cannot read the output of the container: bad stream header " +
                          hex({reinterpret_cast<const char*>(header_), sizeof header_}));
      is_stderr_ = header_[0] >= 2;
      left_ = std::uint32_t(header_[4]) << 24 | std::uint32_t(header_[5]) << 16 | std::uint32_t(header_[6]) << 8 |
              std::uint32_t(header_[7]);
      continue;
    }
    auto part = bytes.substr(0, std::min<size_t>(left_, bytes.size()));
    left_ -= static_cast<std::uint32_t>(part.size());
    bytes.remove_prefix(part.size());
    sink(is_stderr_, part);
  }
}

}  // namespace riverbox::docker
