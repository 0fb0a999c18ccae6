// A local socket joined with a stream of a tunnel: what comes from one goes to the other, no faster than it is taken there. Loop thread only. A splice lives as long as its stream or what
// it has still to write; nobody needs to hold it.
#pragma once
#include <cstdint>
#include <functional>

#include <boost/asio/io_context.hpp>

#include "os/fd.hpp"
#include "tunnel/mux.hpp"

namespace riverbox::tunnel {

// For Mux::Requests::connect: connects to the port at 127.0.0.1, or else ::1, and says opened() or refuse().
StreamEvents splice_to_port(boost::asio::io_context& loop, Mux& mux, StreamId id, Proto proto, std::uint16_t port);

// A TCP socket that is connected already, to a stream that is told by `begin`: that opens it with these events and returns its id, 0 when there can be none.
void splice_socket(boost::asio::io_context& loop, Mux& mux, os::UniqueFd socket, const std::function<StreamId(StreamEvents)>& begin);

}  // namespace riverbox::tunnel
