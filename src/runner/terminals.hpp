// Terminals in tasks: each a shell that the host asked for (open_terminal), on a WebSocket that is dialled for it.
#pragma once
#include <boost/asio/io_context.hpp>

#include <memory>
#include <vector>

#include "net/websocket.hpp"
#include "os/worker_pool.hpp"
#include "runner/executor.hpp"
#include "runner/messages.hpp"
#include "runner/stream_target.hpp"

namespace riverbox::runner {

// Loop thread. The loop must not run any more when this is destroyed, unless no terminal has been opened.
class Terminals : public std::enable_shared_from_this<Terminals> {
public:
  // `executor` must outlive it.
  Terminals(boost::asio::io_context& loop, Executor& executor, StreamTarget target) : loop_(loop), executor_(executor), target_(std::move(target)) {}
  // Dials, and serves the terminal; why there is none is said there. A host that is not there any more has nobody who waits.
  void open(OpenTerminal wanted);
  // Ends them all, and their shells, for which the loop runs on; opens nothing more.
  void stop();

private:
  void serve(std::shared_ptr<net::WebSocket> socket, OpenTerminal wanted);

  boost::asio::io_context& loop_;
  Executor& executor_;
  const StreamTarget target_;
  std::vector<std::weak_ptr<net::WebSocket>> sockets_;
  bool stopped_ = false;
  os::WorkerPool workers_{"terminals", 8};  // last: it works with the others
};

}  // namespace riverbox::runner
