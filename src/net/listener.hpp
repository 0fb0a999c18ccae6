// Sockets that listen, and what to say when they cannot.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>

namespace riverbox::net {

using Listener = boost::asio::basic_socket_acceptor<boost::asio::generic::stream_protocol>;

// "nginx (pid 512)"; nullopt when nobody listens there or the owner is another user's process that cannot be looked into.
std::optional<std::string> port_owner(std::uint16_t port);
// Listens now. Throws Unavailable (in use, and by whom; no permission; no such address), InvalidInput for what is no address. Port 0: any that is free.
// `inherited` (unless -1) is a socket that listens already, and then the listener's.
Listener open_listener(boost::asio::io_context& loop, const std::string& address, std::uint16_t port, int inherited = -1);
// A unix socket that every local user may connect to: who they are is asked of the kernel. One that a process which is gone has left there is replaced. Throws
// Unavailable when somebody listens there or it cannot be made. Whoever opens it removes it.
Listener open_unix_listener(boost::asio::io_context& loop, const std::filesystem::path& path);
std::uint16_t port_of(const Listener& listener);

}  // namespace riverbox::net
