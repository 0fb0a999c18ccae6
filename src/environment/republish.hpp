// An older version as the newest one again: the same bytes under a new number, because the newest number is what every runner takes.
#pragma once
#include "base/cancel.hpp"
#include "environment/publish.hpp"
#include "environment/share.hpp"

namespace riverbox::environment {

// A hard link where the share has them, which costs nothing; else a copy (shared extents, or a copy on the server, where it can). Blocking; the caller
// serialises changes of one environment. `sign` as for create-tar. Throws NotFound when `version` is gone, BadData when it is damaged, IoError, Cancelled.
Version republish(const Share& share, const EnvironmentName& name, const Version& version, const SignVersion& sign, const CancelToken& cancel);

}  // namespace riverbox::environment
