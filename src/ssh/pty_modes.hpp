// The terminal modes of a "pty-req" (RFC 4254, section 8).
#pragma once
#include <string_view>
#include <termios.h>

namespace riverbox::ssh {

// What is named in `modes` is set in `settings`; what is unknown here is left out. Never throws.
void apply_modes(std::string_view modes, termios& settings);

}  // namespace riverbox::ssh
