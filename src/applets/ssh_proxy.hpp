// The SSH proxy of a host, as clients of HakuRiver and KohakuRiver speak to it: one line, one line back, then bytes.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "os/fd.hpp"

namespace riverbox::applets {

// "SUCCESS" is nothing. Throws HostRefusal for an error in either spelling that hosts have, BadData for anything else.
void check_proxy_answer(std::string_view line);
// A connection to the SSH server of a VPS. Blocking, for at most 25 s. Throws Unavailable, Timeout, and as above. The token may be empty.
os::UniqueFd dial_ssh_proxy(const std::string& address, std::uint16_t port, const std::string& id, const std::string& token);

}  // namespace riverbox::applets
