#include "ssh/pty_modes.hpp"

#include <cstdint>
#include <unistd.h>

namespace riverbox::ssh {
namespace {

struct Character {
  std::uint8_t code;
  int index;
};
constexpr Character kCharacters[] = {{1, VINTR}, {2, VQUIT}, {3, VERASE}, {4, VKILL}, {5, VEOF}, {6, VEOL}, {7, VEOL2}, {8, VSTART}, {9, VSTOP}, {10, VSUSP},
                                     {12, VREPRINT}, {13, VWERASE}, {14, VLNEXT}, {18, VDISCARD}};

struct Flag {
  std::uint8_t code;
  tcflag_t termios::*field;
  tcflag_t bit;
};
constexpr Flag kFlags[] = {
    {30, &termios::c_iflag, IGNPAR}, {31, &termios::c_iflag, PARMRK}, {32, &termios::c_iflag, INPCK}, {33, &termios::c_iflag, ISTRIP}, {34, &termios::c_iflag, INLCR},
    {35, &termios::c_iflag, IGNCR}, {36, &termios::c_iflag, ICRNL}, {37, &termios::c_iflag, IUCLC}, {38, &termios::c_iflag, IXON}, {39, &termios::c_iflag, IXANY},
    {40, &termios::c_iflag, IXOFF}, {41, &termios::c_iflag, IMAXBEL}, {42, &termios::c_iflag, IUTF8}, {50, &termios::c_lflag, ISIG}, {51, &termios::c_lflag, ICANON},
    {52, &termios::c_lflag, XCASE}, {53, &termios::c_lflag, ECHO}, {54, &termios::c_lflag, ECHOE}, {55, &termios::c_lflag, ECHOK}, {56, &termios::c_lflag, ECHONL},
    {57, &termios::c_lflag, NOFLSH}, {58, &termios::c_lflag, TOSTOP}, {59, &termios::c_lflag, IEXTEN}, {60, &termios::c_lflag, ECHOCTL}, {61, &termios::c_lflag, ECHOKE},
    {70, &termios::c_oflag, OPOST}, {71, &termios::c_oflag, OLCUC}, {72, &termios::c_oflag, ONLCR}, {73, &termios::c_oflag, OCRNL}, {74, &termios::c_oflag, ONOCR},
    {75, &termios::c_oflag, ONLRET}};

void apply(std::uint8_t code, std::uint32_t value, termios& settings) {
  for (const auto& [of, index] : kCharacters)
    if (of == code) settings.c_cc[index] = value == 255 ? _POSIX_VDISABLE : static_cast<cc_t>(value);  // 255: no character does it
  for (const auto& [of, field, bit] : kFlags)
    if (of == code) settings.*field = value ? settings.*field | bit : settings.*field & ~bit;
}

}  // namespace

void apply_modes(std::string_view modes, termios& settings) {
  constexpr std::uint8_t kEnd = 0, kFirstOfAnotherShape = 160;
  constexpr size_t kSize = 5;
  for (; modes.size() >= kSize; modes.remove_prefix(kSize)) {
    const auto code = static_cast<std::uint8_t>(modes[0]);
    if (code == kEnd || code >= kFirstOfAnotherShape) return;
    std::uint32_t value = 0;
    for (size_t i = 1; i < kSize; ++i) value = value << 8 | static_cast<unsigned char>(modes[i]);
    apply(code, value, settings);
  }
}

}  // namespace riverbox::ssh
