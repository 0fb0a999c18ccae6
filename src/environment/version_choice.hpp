// Which version of an environment to bring here, on a share that may show the newest one late.
#pragma once
#include <string>

#include "base/cancel.hpp"
#include "environment/share.hpp"

namespace riverbox::environment {

// The newest one that there is; at least `hint`, the one that the host has announced, when that is one of this environment: it wins over a listing that does not show it
// yet. Blocks for up to 3 s until the share shows it. Throws NotFound (with the environments there are, when there is no such one), IoError, Cancelled.
Version choose_newest(const Share& share, const EnvironmentName& name, const std::string& hint, const CancelToken& cancel);
// This one and no other; else the same.
Version choose_exactly(const Share& share, const EnvironmentName& name, const std::string& tarball, const CancelToken& cancel);

}  // namespace riverbox::environment
