// Lengths of time as people write and read them.
#pragma once
#include <chrono>
#include <string>
#include <string_view>

namespace riverbox {

// "90s", "30m", "2h", "1d12h", or as Slurm writes it: "12:30:00", "2-12:00:00". A number alone is refused: nobody knows of what. Throws InvalidInput.
std::chrono::seconds parse_duration(std::string_view text);
// "45 s", "2 h", "1 d 12 h"
std::string human_duration(std::chrono::seconds duration);

}  // namespace riverbox
