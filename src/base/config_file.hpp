// The configuration file: TOML, with the keys of the table and, for old files, HakuRiver's names at top level.
#pragma once
#include <filesystem>
#include <optional>

#include "base/config.hpp"

namespace riverbox {

// Reads the first that there is (config.hpp says of which), or the one that the flag names. Blocking. Throws ConfigError.
void apply_file(Config& config, const std::optional<std::filesystem::path>& flag);

}  // namespace riverbox
