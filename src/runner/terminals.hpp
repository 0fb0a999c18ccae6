// Terminals in tasks: each a shell that the host asked for (open_terminal), or its part of one that several share, on a WebSocket that is dialled for it.
#pragma once
#include <boost/asio/io_context.hpp>

#include <memory>
#include <vector>

#include "net/websocket.hpp"
#include "os/worker_pool.hpp"
#include "runner/executor.hpp"
#include "runner/messages.hpp"
#include "runner/stream_target.hpp"
#include "terminal/session.hpp"

namespace riverbox::runner {

// Loop thread. The loop must not run any more when this is destroyed, unless no terminal has been opened.
class Terminals : public std::enable_shared_from_this<Terminals> {
public:
  // `executor` must outlive it.
  Terminals(boost::asio::io_context& loop, Executor& executor, StreamTarget target) : loop_(loop), executor_(executor), target_(std::move(target)) {}
  // Dials, and serves the terminal; why there is none is said there. A host that is not there any more has nobody who waits.
  void open(OpenTerminal wanted);
  // The sessions of an attempt that clients share.
  std::vector<terminal::SessionFacts> sessions(const AttemptId& attempt) const { return shared_->list(attempt.str()); }
  // Ends them all, and their shells, for which the loop runs on; opens nothing more.
  void stop();

private:
  void serve(std::shared_ptr<net::WebSocket> socket, OpenTerminal wanted);

  boost::asio::io_context& loop_;
  Executor& executor_;
  const StreamTarget target_;
  std::vector<std::weak_ptr<net::WebSocket>> sockets_;
  bool stopped_ = false;
  // With the workers last: they work with the others.
  os::WorkerPool workers_{"terminals", 8};
  const std::shared_ptr<terminal::Sessions> shared_ = std::make_shared<terminal::Sessions>(loop_, workers_);
};

}  // namespace riverbox::runner
