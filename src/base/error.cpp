#include "base/error.hpp"

#include <cerrno>
#include <cstring>

namespace riverbox {

Error::Error(ErrorKind kind, std::string what, std::string next)
    : std::runtime_error(next.empty() ? what : what + ". " + next),
      kind_(kind),
      fact_(std::move(what)),
      next_(std::move(next)) {}

IoError::IoError(const std::string& action, int error_number, std::string next)
    : Error(error_number == ENOSPC || error_number == EDQUOT ? ErrorKind::no_space : ErrorKind::io, "cannot " + action + ": " + std::strerror(error_number), std::move(next)),
      error_number_(error_number) {}

}  // namespace riverbox
