// The way from this machine to ports of a task or VPS: what `forward` and `ssh` share.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/io_context.hpp>

#include "applets/api_client.hpp"
#include "applets/cli.hpp"
#include "os/fd.hpp"
#include "tunnel/user_session.hpp"

namespace riverbox::applets {

// Of a task by its id, or of a VPS by its name or id. Throws HostRefusal.
std::string task_id_of(ApiClient& api, const std::string& id_or_name);
Argument task_or_vps();

// From 1 to 65535, or from 0. Throws UsageError that names the option.
std::uint16_t port_of(const std::string& text, const std::string& option, bool any = false);

// Not started.
std::shared_ptr<tunnel::UserSession> way_to(boost::asio::io_context& loop, ApiClient& api, const std::string& task_id);
// The error for what the host has said. Throws it.
[[noreturn]] void throw_way_refused(const std::string& name, const std::string& why);

// Copies until both sides have ended: what comes from `in` goes to `socket`, what comes from that goes to `out`. Blocking, with a thread of its own.
void copy_both_ways(int in, int out, os::UniqueFd socket);

}  // namespace riverbox::applets
