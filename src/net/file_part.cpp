#include "net/file_part.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "base/error.hpp"

namespace riverbox::net {

FilePart open_part(const os::Place& file, const PartRequest& request) {
  FilePart part;
  part.path = file.path();
  try {
    part.fd = os::open_beneath(file, O_RDONLY);
  } catch (const IoError& error) {
    if (error.error_number() != ENOENT) throw;
  }
  if (part.fd) {
    struct stat status {};
    if (fstat(part.fd.get(), &status) != 0) throw IoError("inspect " + part.path.string(), errno);
    part.whole_bytes = static_cast<std::uint64_t>(status.st_size);
  }
  if (request.last_lines && part.whole_bytes > 0) {
    const auto offset = os::last_lines_offset(part.fd.get(), part.whole_bytes, *request.last_lines, part.path);
    part.wish = {RangeWish::Kind::whole, offset, part.whole_bytes - offset};
  } else if (!request.last_lines) {
    part.wish = parse_range(request.range ? &*request.range : nullptr, nullptr, "", part.whole_bytes);
  }
  return part;
}

}  // namespace riverbox::net
