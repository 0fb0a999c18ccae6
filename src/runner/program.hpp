// This executable, for containers to mount: a copy that stays what it is while a newer riverbox is installed.
#pragma once
#include <filesystem>

namespace riverbox::runner {

// Puts it at `place`, whose folder is made, unless it is there. Blocking (a copy of some MB, once for each version). Throws IoError.
void place_program(const std::filesystem::path& place);

}  // namespace riverbox::runner
