// Any bytes as the configuration file: refused with ConfigError, or every key has a value that can be shown.
#include <cstdlib>

#include "base/config.hpp"
#include "base/error.hpp"
#include "fuzz_target.hpp"

using namespace riverbox;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const MemoryFile file({reinterpret_cast<const char*>(data), size});
  try {
    const auto config = Config::load(file.path());
    for (const auto& shown : config.show()) MUST_HOLD(!shown.key.empty() && !shown.origin.empty() && shown.value.find('\n') == std::string::npos);
    MUST_HOLD(config.url().starts_with("http"));
    for (const auto& warning : config.warnings) MUST_HOLD(!warning.empty());
  } catch (const Error& error) {
    MUST_HOLD(!error.fact().empty());
  }
  return 0;
}
