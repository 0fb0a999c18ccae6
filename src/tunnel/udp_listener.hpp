// A UDP socket whose senders each have a stream of their own. Loop thread only.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>

#include <boost/asio/io_context.hpp>

#include "os/fd.hpp"
#include "tunnel/mux.hpp"

namespace riverbox::tunnel {

class UdpListener {
public:
  // `socket` is bound and does not block. `mux` says over which tunnel now; null: there is none, and datagrams are lost, as on a network.
  UdpListener(boost::asio::io_context& loop, os::UniqueFd socket, std::uint16_t port, std::function<Mux*()> mux);
  ~UdpListener();
  UdpListener(UdpListener&&) = delete;

private:
  struct Core;
  std::shared_ptr<Core> core_;
};

}  // namespace riverbox::tunnel
