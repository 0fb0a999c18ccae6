// Any bytes as a file name on the share, and as the name of an environment.
#include "base/error.hpp"
#include "environment/share.hpp"
#include "fuzz_target.hpp"

using namespace riverbox;
using namespace riverbox::environment;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto parsed = Share::parse_file_name(text)) {
    const auto& [name, timestamp] = *parsed;
    MUST_HOLD(timestamp >= 0);
    MUST_HOLD(EnvironmentName::is_valid(name.str()));
    const auto again = Share::parse_file_name(Share::file_name(name, timestamp));
    MUST_HOLD(again && again->first == name && again->second == timestamp);
    MUST_HOLD(text.find('/') == std::string_view::npos);
  }
  try {
    const auto name = EnvironmentName::parse(text);
    MUST_HOLD(EnvironmentName::is_valid(text));
    MUST_HOLD(name.str() == text);
    MUST_HOLD(Share::parse_file_name(name.str() + "-7.tar"));
  } catch (const InvalidInput& error) {
    MUST_HOLD(!EnvironmentName::is_valid(text));
    MUST_HOLD(!error.next().empty());
    for (const char c : std::string_view(error.what())) MUST_HOLD(static_cast<unsigned char>(c) >= 0x20);
  }
  return 0;
}
