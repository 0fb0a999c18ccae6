#include "ssh/messages.hpp"

#include <libssh/server.h>

#include <algorithm>
#include <cstdint>

// Its functions for the fields of a "pty-req" are deprecated in favour of a callback that tells less.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

namespace riverbox::ssh {
namespace {

constexpr size_t kMaxModes = 4096;

// The terminal modes are in no function and no callback of libssh 0.10, only in its message: this is the front of it, as in its include/libssh/messages.h.
struct Message {
  ssh_session session;
  int type;
  struct {
    char* username;
    int method;
    char* password;
    ssh_key pubkey;
    char* sigtype;
    int signature_state;  // an enum there
    char kbdint_response;
  } auth_request;
  struct {
    int type;
    std::uint32_t sender, window, packet_size;
    char* originator;
    std::uint16_t originator_port;
    char* destination;
    std::uint16_t destination_port;
  } channel_request_open;
  struct {
    int type;
    ssh_channel channel;
    std::uint8_t want_reply;
    char* term;
    std::uint32_t width, height, pxwidth, pxheight;
    ssh_string modes;
  } channel_request;
};

// Only from a library whose messages look like that, as far as what its functions tell can show it.
std::string modes_of(ssh_message message) {
#if LIBSSH_VERSION_MAJOR == 0 && LIBSSH_VERSION_MINOR == 10
  const auto& inside = reinterpret_cast<const Message*>(message)->channel_request;
  const bool same = inside.channel == ssh_message_channel_request_channel(message) && inside.term == ssh_message_channel_request_pty_term(message) &&
                    inside.type == ssh_message_subtype(message) && static_cast<int>(inside.width) == ssh_message_channel_request_pty_width(message) &&
                    static_cast<int>(inside.pxheight) == ssh_message_channel_request_pty_pxheight(message);
  if (!same || !inside.modes || ssh_string_len(inside.modes) > kMaxModes) return {};
  return {static_cast<const char*>(ssh_string_data(inside.modes)), ssh_string_len(inside.modes)};
#else
  return {};
#endif
}

std::uint16_t size16(int value) { return static_cast<std::uint16_t>(std::clamp(value, 0, 0xffff)); }

}  // namespace

SessionChannel::PtyRequest pty_request(ssh_message message) {
  const char* term = ssh_message_channel_request_pty_term(message);
  return {.term = term ? term : "",
          .size = {size16(ssh_message_channel_request_pty_height(message)), size16(ssh_message_channel_request_pty_width(message))},
          .width_pixels = size16(ssh_message_channel_request_pty_pxwidth(message)),
          .height_pixels = size16(ssh_message_channel_request_pty_pxheight(message)),
          .modes = modes_of(message)};
}

}  // namespace riverbox::ssh
