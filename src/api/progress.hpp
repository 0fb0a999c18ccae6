// Work that takes long: one JSON answer, or, for a client that accepts NDJSON, lines of progress first (docs/api.md).
#pragma once
#include <functional>
#include <utility>

#include "api/handlers.hpp"
#include "api/shapes.hpp"
#include "base/cancel.hpp"
#include "host/environments.hpp"

namespace riverbox::api {

// Returns status and answer. `client_gone` is set once nobody waits for the answer any more: work that only looks may stop, work that changes
// something goes on.
using LongWork = std::function<std::pair<int, Json>(const host::StepCallback& progress, const CancelToken& client_gone)>;
void with_progress(CallPtr call, const LongWork& work);

}  // namespace riverbox::api
