// The one error hierarchy. Errors are thrown where the fact is known and translated in exactly two places:
// api/ (HTTP status and {"detail": ...}) and applets/ (message on stderr, exit code).
// A message names the action, the object, the cause; `next` names the step that helps, as a full sentence.
#pragma once
#include <stdexcept>
#include <string>

namespace riverbox {

// What went wrong, seen from the caller. One value = one HTTP status and one exit code.
enum class ErrorKind {
  usage,          // wrong command line                     exit 64
  invalid_input,  // a value that cannot be parsed          400, exit 1
  unauthorized,   // no or wrong token                      401, exit 77
  forbidden,      // known, but not allowed                 403, exit 77
  not_found,      //                                        404, exit 1
  conflict,       // exists, not ours, wrong state          409, exit 1
  bad_data,       // a file or an answer that is damaged    500, exit 65
  unavailable,    // a needed service does not answer       503, exit 69
  timeout,        //                                        504, exit 75
  cancelled,      // the caller gave up                     499, exit 130
  config,         // configuration file or key              500, exit 78
  io,             // disk, share, permission                500, exit 74
  no_space,       // a disk, the share or a quota is full   507, exit 74
  internal,       // a bug or an unexpected answer          500, exit 70
};

class Error : public std::runtime_error {
public:
  Error(ErrorKind kind, std::string what, std::string next = {});
  ErrorKind kind() const { return kind_; }
  // The fact, without advice.
  const std::string& fact() const { return fact_; }
  // What to do next; may be empty.
  const std::string& next() const { return next_; }
  // what() is fact and next in one line.

private:
  ErrorKind kind_;
  std::string fact_, next_;
};

#define RIVERBOX_ERROR(Name, Kind)                                            \
  class Name : public Error {                                                 \
  public:                                                                     \
    explicit Name(std::string what, std::string next = {})                    \
        : Error(ErrorKind::Kind, std::move(what), std::move(next)) {}         \
  }

RIVERBOX_ERROR(UsageError, usage);
RIVERBOX_ERROR(InvalidInput, invalid_input);
RIVERBOX_ERROR(Unauthorized, unauthorized);
RIVERBOX_ERROR(Forbidden, forbidden);
RIVERBOX_ERROR(NotFound, not_found);
RIVERBOX_ERROR(Conflict, conflict);
RIVERBOX_ERROR(BadData, bad_data);
RIVERBOX_ERROR(Unavailable, unavailable);
RIVERBOX_ERROR(Timeout, timeout);
RIVERBOX_ERROR(Cancelled, cancelled);
RIVERBOX_ERROR(ConfigError, config);
RIVERBOX_ERROR(InternalError, internal);

// A failed system call: "cannot <action>: <strerror>". The errno is kept.
class IoError : public Error {
public:
  IoError(const std::string& action, int error_number, std::string next = {});
  int error_number() const { return error_number_; }

private:
  int error_number_;
};

}  // namespace riverbox
