// Ports of containers for users: each session a WebSocket that the host asked for (open_forward) and that is dialled for it; over it go streams to ports of one container, and back from ports
// that are listened on there (docs/tunnel-protocol.md).
#pragma once
#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "net/websocket.hpp"
#include "os/worker_pool.hpp"
#include "runner/doors.hpp"
#include "runner/executor.hpp"
#include "runner/messages.hpp"
#include "runner/stream_target.hpp"

namespace riverbox::runner {

// Loop thread. The loop must not run any more when this is destroyed, unless nothing has been opened.
class Forwards : public std::enable_shared_from_this<Forwards> {
public:
  // `executor` and `doors` must outlive it.
  Forwards(boost::asio::io_context& loop, Executor& executor, Doors& doors, StreamTarget target) : loop_(loop), executor_(executor), doors_(doors), target_(std::move(target)) {}
  // Dials, and serves the session; why there is none is said there.
  void open(OpenForward wanted);
  // Ends them all; opens nothing more.
  void stop();
  // `ready(why)`: "" when there is a tunnel, which may be started for it.
  void need_tunnel(const AttemptId& attempt, const std::string& container, std::function<void(const std::string& why)> ready);

private:
  void serve(std::shared_ptr<net::WebSocket> socket, const OpenForward& wanted);

  boost::asio::io_context& loop_;
  Executor& executor_;
  Doors& doors_;
  const StreamTarget target_;
  std::vector<std::weak_ptr<net::WebSocket>> sockets_;
  bool stopped_ = false;
  os::WorkerPool workers_{"forwards", 4};  // last: it works with the others
};

}  // namespace riverbox::runner
