// What libssh knows of a request and its public functions do not tell.
#pragma once
#include <libssh/libssh.h>

#include "ssh/session_channel.hpp"

namespace riverbox::ssh {

// The message must be a "pty-req".
SessionChannel::PtyRequest pty_request(ssh_message message);

}  // namespace riverbox::ssh
