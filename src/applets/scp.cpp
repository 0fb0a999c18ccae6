// riverbox __scp: what `scp -O` finds in a container that has no scp of its own; not for people.
#include "applets/commands.hpp"
#include "ssh/legacy_scp.hpp"

namespace riverbox::applets {

int run_scp(const Invocation& invocation) { return ssh::legacy_scp(invocation.args); }

}  // namespace riverbox::applets
