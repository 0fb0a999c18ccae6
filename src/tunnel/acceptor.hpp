// A listening socket on the event loop. Loop thread only.
#pragma once
#include <functional>
#include <memory>

#include <boost/asio/io_context.hpp>

#include "os/fd.hpp"

namespace riverbox::tunnel {

class Acceptor {
public:
  // `accepted` is called with each connection, which does not block, until the acceptor is gone. `socket` listens and does not block either.
  Acceptor(boost::asio::io_context& loop, os::UniqueFd socket, std::function<void(os::UniqueFd)> accepted);
  ~Acceptor();
  Acceptor(Acceptor&&) = delete;

private:
  struct Core;
  std::shared_ptr<Core> core_;
};

}  // namespace riverbox::tunnel
