#include "runner/program.hpp"

#include <system_error>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::runner {

namespace fs = std::filesystem;

void place_program(const fs::path& place) {
  const fs::path fresh = place.parent_path() / (".riverbox-" + random_hex(8)), self = "/proc/self/exe";
  try {
    fs::create_directories(place.parent_path());
    std::error_code absent;
    const auto size = fs::file_size(place, absent);
    if (!absent && size == fs::file_size(self) && fs::last_write_time(place) >= fs::last_write_time(self)) return;
    fs::copy_file(self, fresh);
    fs::permissions(fresh, fs::perms(0755));
    fs::rename(fresh, place);
  } catch (const fs::filesystem_error& error) {
    std::error_code ignored;
    fs::remove(fresh, ignored);
    throw IoError("put this program into " + place.parent_path().string(), error.code().value(), "Containers of VPSs mount it from there: make room, or set [paths] state_dir to another folder.");
  }
}

}  // namespace riverbox::runner
