#include "runner/program.hpp"

#include <cstdlib>
#include <system_error>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::runner {

namespace fs = std::filesystem;

namespace {

// One that is made with a sanitizer runs in no container: the tests name another.
fs::path own_program() {
#ifdef RIVERBOX_SANITIZED
  if (const char* other = std::getenv("RIVERBOX_TEST_PROGRAM")) return other;
#endif
  return "/proc/self/exe";
}

}  // namespace

void place_program(const fs::path& place) {
  const fs::path fresh = place.parent_path() / (".riverbox-" + random_hex(8)), self = own_program();
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
    throw IoError("put this program into " + place.parent_path().string(), error.code().value(), "Containers mount it from there: make room, or set [paths] state_dir to another folder.");
  }
}

}  // namespace riverbox::runner
