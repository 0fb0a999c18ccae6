// Which algorithms a server offers.
#pragma once
#include <libssh/server.h>

namespace riverbox::ssh {

// Only what is thought to be strong today: no CBC, no SHA-1, no DSS, no RSA below 2048 bits. Nothing is read from /etc.
void set_algorithms(ssh_bind bind);

}  // namespace riverbox::ssh
