#include "applets/exit_codes.hpp"

#include <new>

#include "applets/output.hpp"
#include "base/strings.hpp"

namespace riverbox::applets {

namespace {
constexpr size_t kMaxMessageBytes = 4000;

// Advice may have several lines; each is made printable by itself.
std::string printable_lines(const std::string& text) {
  std::string out;
  for (const std::string& line : split(text, '\n')) out += printable(line, kMaxMessageBytes) + "\n";
  return out;
}

int guarded(const std::string& program, const std::function<int()>& body) {
  try {
    return body();
  } catch (const HelpRequest& help) {
    write_out(help.text);
    return 0;
  } catch (const Error& error) {
    write_err(error_lines(program, error));
    return exit_code_of(error);
  }
}
}  // namespace

int exit_code_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::usage: return kExitUsage;
    case ErrorKind::invalid_input:
    case ErrorKind::not_found:
    case ErrorKind::conflict: return kExitRefused;
    case ErrorKind::unauthorized:
    case ErrorKind::forbidden: return 77;
    case ErrorKind::bad_data: return 65;
    case ErrorKind::unavailable: return 69;
    case ErrorKind::timeout: return 75;
    case ErrorKind::cancelled: return kExitInterrupted;
    case ErrorKind::config: return 78;
    case ErrorKind::io:
    case ErrorKind::no_space: return 74;
    case ErrorKind::internal: return 70;
  }
  return 70;
}

int exit_code_of(const Error& error) {
  if (dynamic_cast<const HostRefusal*>(&error)) return kExitRefused;
  return exit_code_of(error.kind());
}

std::string error_lines(const std::string& program, const Error& error) {
  std::string text = printable(program) + ": " + printable_lines(error.fact().empty() ? "failed" : error.fact());
  if (!error.next().empty()) text += printable_lines(error.next());
  return text;
}

int safe_main(const std::string& program, const std::function<int()>& body) {
  try {
    return guarded(program, body);
  } catch (const BrokenPipe&) {
    return kExitBrokenPipe;
  } catch (const Error& error) {  // stdout itself failed while the help was printed
    write_err(error_lines(program, error));
    return exit_code_of(error);
  } catch (const std::bad_alloc&) {
    write_err(program + ": out of memory\n");
    return 71;
  } catch (const std::exception& error) {
    write_err(program + ": internal error: " + printable(error.what(), kMaxMessageBytes) + "\n");
    return 70;
  }
}

}  // namespace riverbox::applets
