#include "runner/log_stream.hpp"

#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "os/fd.hpp"
#include "runner/container_spec.hpp"

namespace riverbox::runner {
namespace {

constexpr size_t kMaxQueuedBytes = 256 << 10;  // in the socket, before we stop reading the files
constexpr size_t kMaxFrameBytes = 64 << 10;

// What is readable of [from, end) of the file, at most a frame, behind the byte that names the stream.
std::string read_frame(const os::Place& file, bool is_stderr, std::uint64_t from, std::uint64_t end) {
  auto fd = os::open_beneath(file, O_RDONLY);
  const auto path = file.path();
  auto size = static_cast<size_t>(std::min<std::uint64_t>(end - from, kMaxFrameBytes));
  std::string frame(size + 1, is_stderr ? '\1' : '\0');
  ssize_t n = 0;
  do {
    n = pread(fd.get(), frame.data() + 1, size, static_cast<off_t>(from));
  } while (n < 0 && errno == EINTR);
  if (n < 0) throw IoError("read " + path.string(), errno);
  if (n == 0) throw IoError("read " + path.string() + ": it became shorter", EIO);
  frame.resize(static_cast<size_t>(n) + 1);
  return frame;
}

}  // namespace

LogStream::LogStream(boost::asio::io_context& loop, os::WorkerPool& readers, std::shared_ptr<AttemptLog> log, OpenLogs wanted, std::string head)
    : loop_(loop), readers_(readers), log_(std::move(log)), wanted_(std::move(wanted)), head_(std::move(head)) {}

void LogStream::dial(const StreamTarget& target) {
  auto request = stream_request(target, wanted_.stream);
  request.subprotocols = {"riverbox.logs.v1"};
  net::connect_websocket(loop_, std::move(request), [self = shared_from_this()](net::WebSocketResult result) {
    if (!result.socket) {
      log::warning("runner", "cannot open the stream of a task's output", {{"task", self->wanted_.attempt.str()}, {"reason", result.error}});
      return;
    }
    if (self->closed_) return result.socket->close(1001, "the runner stops");
    self->run(std::move(result.socket));
  });
}

void LogStream::run(std::shared_ptr<net::WebSocket> socket) {
  socket_ = socket;
  net::WebSocket::Events events;
  auto self = shared_from_this();
  events.message = [](std::string_view, bool) {};
  events.closed = [self](std::uint16_t, std::string_view) {
    self->closed_ = true;
    self->subscription_ = nullptr;
    self->socket_ = nullptr;
  };
  events.drained = [weak = weak_from_this()] {
    if (auto stream = weak.lock()) stream->pump();
  };
  socket_->start(std::move(events));
  if (!head_.empty()) socket_->send(head_, false);
  if (!log_) return finish(1011, "this runner does not know the attempt; read its files on the share");
  subscription_ = log_->subscribe([weak = weak_from_this()] {
    if (auto stream = weak.lock()) stream->wake();
  });
  pump();
}

void LogStream::stop() { finish(1001, "the runner stops"); }

// Nothing is read or sent any more, whatever wakes us.
void LogStream::finish(std::uint16_t code, std::string reason) {
  if (std::exchange(closed_, true)) return;
  subscription_ = nullptr;
  auto socket = socket_;  // `closed` may come while we close it
  if (socket) socket->close(code, std::move(reason));
}

// A writer in a hurry wakes the loop once, not once for each line.
void LogStream::wake() {
  if (woken_.exchange(true)) return;
  boost::asio::post(loop_, [weak = weak_from_this()] {
    auto self = weak.lock();
    if (!self) return;
    self->woken_ = false;
    self->pump();
  });
}

void LogStream::pump() {
  if (closed_ || !socket_) return;
  if (reading_) {
    again_ = true;
    return;
  }
  if (socket_->queued_bytes() > kMaxQueuedBytes) return;  // `drained` comes back here
  again_ = false;
  reading_ = readers_.post([self = shared_from_this()] {
    auto chunk = self->read();
    boost::asio::post(self->loop_, [self, chunk = std::move(chunk)]() mutable { self->deliver(std::move(chunk)); });
  });
  if (!reading_) finish(1013, "the runner is busy; try again");
}

// Reads wanted_.from, which only deliver() changes, and never while a read is under way.
LogStream::Chunk LogStream::read() const {
  Chunk chunk;
  auto view = log_->view();
  chunk.complete = view.finished;
  try {
    for (bool is_stderr : {false, true}) {
      auto from = wanted_.from[is_stderr], end = view.size_bytes[is_stderr];
      if (from >= end) continue;
      chunk.frames[is_stderr] = read_frame(log_->file(is_stderr), is_stderr, from, end);
      if (from + chunk.frames[is_stderr].size() - 1 < end) chunk.complete = false;
    }
  } catch (const Error& error) {
    chunk.error = error.fact();
  }
  return chunk;
}

void LogStream::deliver(Chunk chunk) {
  reading_ = false;
  if (closed_ || !socket_) return;
  bool sent = false;
  for (bool is_stderr : {false, true}) {
    auto& frame = chunk.frames[is_stderr];
    if (frame.empty()) continue;
    wanted_.from[is_stderr] += frame.size() - 1;
    socket_->send(std::move(frame), true);
    sent = true;
  }
  if (!chunk.error.empty()) {
    log::warning("runner", "a stream of a task's output ends early", {{"task", wanted_.attempt.str()}, {"reason", chunk.error}});
    return finish(1011, printable(chunk.error, 100));
  }
  if (chunk.complete) {
    socket_->send(end_text(), false);
    return finish(1000, "");
  }
  if (sent || again_) pump();
}

// The file is looked for where the host says that it is: this runner may have forgotten the attempt, or be another one than ran it.
StoredPart find_part(const std::filesystem::path& shared_dir, const OutputPart& wanted) {
  StoredPart out;
  try {
    const auto file = share_file(shared_dir, wanted.file);
    const auto part = net::open_part(file, wanted.request);
    out.head = part_text(part);
    out.log = std::make_shared<AttemptLog>(file, file);
    out.from = part.wish.offset;
    out.log->grown(false, part.wish.offset + part.wish.size_bytes);
  } catch (const Error& error) {
    out.head = no_part_text(error.fact());
    out.log = std::make_shared<AttemptLog>(os::Place(), os::Place());
  }
  out.log->finish();
  return out;
}

}  // namespace riverbox::runner
