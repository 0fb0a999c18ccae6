// Any bytes as a line of scp and as the modes of a terminal.
#include "fuzz_target.hpp"
#include "ssh/pty_modes.hpp"
#include "ssh/scp_line.hpp"

using namespace riverbox::ssh;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto entry = parse_scp_entry(bytes)) {
    MUST_HOLD(entry->mode <= 07777);
    MUST_HOLD(!entry->name.empty() && entry->name != "." && entry->name != "..");
    MUST_HOLD(entry->name.find('/') == std::string::npos && entry->name.find('\0') == std::string::npos);
    MUST_HOLD(bytes.ends_with(entry->name));
  }
  parse_scp_times(bytes);
  termios settings{}, again{};
  apply_modes(bytes, settings);
  apply_modes(bytes.substr(0, size / 5 * 5), again);
  MUST_HOLD(settings.c_iflag == again.c_iflag && settings.c_lflag == again.c_lflag && settings.c_oflag == again.c_oflag);
  return 0;
}
