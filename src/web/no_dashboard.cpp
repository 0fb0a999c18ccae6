#include "web/dashboard.hpp"

namespace riverbox::web {

std::span<const File> files() { return {}; }

}  // namespace riverbox::web
