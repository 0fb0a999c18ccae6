// One follower of an attempt's output: a WebSocket that the runner dials because the host asked (open_logs).
#pragma once
#include <boost/asio/io_context.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "net/websocket.hpp"
#include "os/worker_pool.hpp"
#include "runner/log_hub.hpp"
#include "runner/messages.hpp"
#include "runner/stream_target.hpp"

namespace riverbox::runner {

// Reads the files from the wanted offsets on a worker, sends frames, sleeps until the log grows, and stops reading while the
// socket has much to send. Loop thread, except where said. It keeps itself alive until its socket is closed.
class LogStream : public std::enable_shared_from_this<LogStream> {
public:
  // `log` null: the attempt is unknown here, and the stream is closed with that reason. `readers` must live until stop().
  // `head`: a text frame that goes before everything else, if there is one.
  LogStream(boost::asio::io_context& loop, os::WorkerPool& readers, std::shared_ptr<AttemptLog> log, OpenLogs wanted, std::string head = {});
  void dial(const StreamTarget& target);
  // Takes a socket that is open already.
  void run(std::shared_ptr<net::WebSocket> socket);
  void stop();

private:
  struct Chunk {
    std::string frames[2];        // with the leading byte; empty: nothing new
    bool complete = false;        // the attempt is over and this is all
    std::string error;
  };
  void pump();
  Chunk read() const;             // worker
  void deliver(Chunk chunk);
  void finish(std::uint16_t code, std::string reason);
  void wake();                    // any thread

  boost::asio::io_context& loop_;
  os::WorkerPool& readers_;
  std::shared_ptr<AttemptLog> log_;
  OpenLogs wanted_;               // `from` moves on
  const std::string head_;
  std::shared_ptr<net::WebSocket> socket_;
  std::shared_ptr<AttemptLog::Listener> subscription_;
  std::atomic<bool> woken_{false};
  bool reading_ = false, again_ = false, closed_ = false;
};

// A stream that sends a part of one file: its head, and a finished log of just these bytes, as stdout from `from` on. Blocking, does not throw.
struct StoredPart {
  std::string head;
  std::shared_ptr<AttemptLog> log;
  std::uint64_t from = 0;
};
StoredPart find_part(const std::filesystem::path& shared_dir, const OutputPart& wanted);

}  // namespace riverbox::runner
