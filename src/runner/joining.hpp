// How a runner comes to an identity of its own: it joins once, with an invitation, and keeps what it gets.
#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "base/config.hpp"

namespace riverbox::runner {

// Readable by its owner only, beside the runner's other state.
std::filesystem::path own_token_file(const Config& config);
// What an earlier join has left there. Throws ConfigError when others can read it.
std::optional<std::string> own_token(const Config& config);
// The host that an earlier join was at, with the fingerprint of its certificate: nobody has to say it again.
std::optional<std::string> joined_host(const Config& config);
// Asks the host with the invitation, and keeps the answer durably, in the place of what an earlier join has left. Blocking. Throws Unauthorized for one that is not valid (any more), Conflict when a node of this name has joined
// before, Unavailable, IoError.
std::string join(const Config& config, const std::string& invitation);

}  // namespace riverbox::runner
