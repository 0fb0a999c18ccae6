// The listening socket, and words for why there is none.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace riverbox::net {

// Bound and listening. Throws InvalidInput for a bad address, Unavailable when the port cannot be had.
boost::asio::ip::tcp::acceptor open_listener(boost::asio::io_context& loop, const std::string& address, std::uint16_t port);

// "riverbox (pid 4711)" for the process that listens on this TCP port, as far as /proc lets us see it.
std::optional<std::string> port_owner(std::uint16_t port);

}  // namespace riverbox::net
