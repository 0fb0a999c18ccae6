#include "docker/upload.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <limits>
#include <utility>

#include "base/strings.hpp"
#include "docker/answer_reader.hpp"
#include "docker/curl_handle.hpp"

namespace riverbox::docker {

namespace {

constexpr size_t kPiece = 1u << 20;
constexpr std::uint64_t kTell = 4u << 20;
constexpr std::uint64_t kAhead = 16u << 20;
constexpr std::uint64_t kAheadStep = 512u << 10;  // the kernel cuts a longer wish to a device's favourite size
constexpr int kUploadPollMs = 150;                      // how late a cancellation can be noticed

std::uint64_t size_of(const Segment& segment) { return segment.fd >= 0 ? segment.size_bytes : segment.bytes.size(); }

// sendfile(2) has no MSG_NOSIGNAL, and not every program that uses us ignores SIGPIPE.
class NoSigpipe {
public:
  NoSigpipe() {
    sigset_t pending;
    ::sigpending(&pending);
    was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
    ::sigemptyset(&sigpipe_);
    ::sigaddset(&sigpipe_, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &sigpipe_, &before_);
  }
  ~NoSigpipe() {
    const timespec at_once{};
    if (!was_pending_) ::sigtimedwait(&sigpipe_, nullptr, &at_once);
    ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoSigpipe(const NoSigpipe&) = delete;
  NoSigpipe& operator=(const NoSigpipe&) = delete;

private:
  sigset_t sigpipe_, before_;
  bool was_pending_ = false;
};

// libcurl connects and explains why it cannot; from then on the socket is ours.
class Connection {
public:
  Connection(const Endpoint& endpoint, const std::string& action) : easy_(make_easy()) {
    fd_ = connect_only(easy_.get(), endpoint, action, error_);
    ::fcntl(fd_, F_SETFL, ::fcntl(fd_, F_GETFL) | O_NONBLOCK);
  }
  int fd() const { return fd_; }

private:
  char error_[CURL_ERROR_SIZE] = {};
  Easy easy_;
  int fd_ = -1;
};

class Exchange {
public:
  Exchange(int fd, const Request& request, std::string head, UploadBody& body)
      : fd_(fd), request_(request), head_(std::move(head)), body_(body), answer_(request.action, request.sink) {}

  Response run() {
    while (!answer_.complete()) {
      request_.cancel->check(request_.action.c_str());
      pollfd wait{fd_, static_cast<short>(POLLIN | (sending_ ? POLLOUT : 0)), 0};
      if (::poll(&wait, 1, kUploadPollMs) < 0 && errno != EINTR) throw IoError("wait for the Docker daemon", errno);
      if (wait.revents & (POLLIN | POLLHUP | POLLERR)) receive();
      if (sending_ && !answer_.complete() && (wait.revents & POLLOUT)) send();
    }
    return std::move(answer_.response());
  }

private:
  void receive() {
    char buffer[16 << 10];
    const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
    if (got > 0) return answer_.feed({buffer, static_cast<size_t>(got)});
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    answer_.end();
  }

  // As much as the daemon takes at once, up to a piece: then it is time to look at the token and for an answer.
  void send() {
    const NoSigpipe guard;
    for (size_t budget = kPiece; budget > 0;) {
      const ssize_t sent = send_some();
      if (sent > 0) {
        budget -= std::min(budget, static_cast<size_t>(sent));
        continue;
      }
      if (sent == 0 || errno == EAGAIN) return;
      if (errno == EINTR) continue;
      sending_ = false;  // the daemon does not want more; why, its answer says
      return;
    }
  }

  // -1 with the errno of the socket; 0 when everything was sent. Errors of the file are thrown.
  ssize_t send_some() {
    if (!head_.empty()) {
      const ssize_t sent = ::send(fd_, head_.data(), head_.size(), MSG_NOSIGNAL);
      if (sent > 0) head_.erase(0, static_cast<size_t>(sent));
      return sent;
    }
    const auto piece = body_.next();
    if (piece.size == 0) {
      sending_ = false;
      return 0;
    }
    const ssize_t sent = piece.fd >= 0 ? send_range(piece) : ::send(fd_, piece.bytes.data(), piece.size, MSG_NOSIGNAL);
    if (sent > 0) body_.advance(static_cast<size_t>(sent));
    return sent;
  }

  ssize_t send_range(const UploadBody::Piece& piece) {
    if (copies_) return copy_range(piece);
    off_t offset = piece.offset;
    const ssize_t sent = ::sendfile(fd_, piece.fd, &offset, piece.size);
    if (sent > 0) return sent;
    if (sent == 0) body_.ended_early();
    switch (errno) {
      case EAGAIN:
      case EINTR:
      case EPIPE:
      case ECONNRESET:
      case ENOTCONN: return -1;
      case EINVAL:
      case ENOSYS: copies_ = true; return copy_range(piece);  // a file system without splice
      default: throw IoError("read the archive", errno, "Check the share.");
    }
  }

  ssize_t copy_range(const UploadBody::Piece& piece) {
    char buffer[64 << 10];
    const ssize_t got = ::pread(piece.fd, buffer, std::min(piece.size, sizeof buffer), piece.offset);
    if (got < 0 && errno != EINTR) throw IoError("read the archive", errno, "Check the share.");
    if (got == 0) body_.ended_early();
    return got < 0 ? got : ::send(fd_, buffer, static_cast<size_t>(got), MSG_NOSIGNAL);
  }

  int fd_;
  const Request& request_;
  std::string head_;
  UploadBody& body_;
  AnswerReader answer_;
  bool sending_ = true, copies_ = false;
};

std::string head_of(Api& api, const Request& request, std::string_view framing) {
  return fmt::format("{} /v{}{} HTTP/1.1\r\nHost: docker\r\nUser-Agent: riverbox\r\nContent-Type: application/x-tar\r\n{}\r\nConnection: close\r\n\r\n", request.method,
                     api.negotiated(), request.path, framing);
}

Response run(const Call& call, int fd, std::string head, UploadBody& body) {
  Response response = Exchange(fd, call.request, std::move(head), body).run();
  if (response.status != 200) throw_refusal(call, response.status, response.body);
  return response;
}

// The same bytes in chunks (RFC 9112, 7.1), and the last one.
std::vector<Segment> in_chunks(const std::vector<Segment>& segments) {
  std::vector<Segment> framed;
  std::string between;  // what stands between one segment's bytes and the next one's
  for (const Segment& segment : segments) {
    const std::uint64_t size = size_of(segment);
    if (size == 0) continue;
    between += fmt::format("{:x}\r\n", size);
    framed.push_back({std::exchange(between, "\r\n")});
    framed.push_back(segment);
  }
  framed.push_back({between + "0\r\n\r\n"});
  return framed;
}

}  // namespace

struct BegunUpload::Impl {
  Connection connection;
};

BegunUpload::BegunUpload(Api& api, const Call& call, std::string beginning)
    : impl_(new Impl{{api.endpoint(), call.request.action}}), beginning_(std::move(beginning)) {
  const std::string bytes = head_of(api, call.request, "Transfer-Encoding: chunked") + fmt::format("{:x}\r\n{}\r\n", beginning_.size(), beginning_);
  // A few hundred bytes fit into an empty socket buffer at once.
  if (::send(impl_->connection.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size()))
    throw DockerConnectionError("cannot " + call.request.action + ": the Docker daemon does not take the request");
}

BegunUpload::~BegunUpload() = default;

bool BegunUpload::waits() const {
  pollfd look{impl_->connection.fd(), POLLIN | POLLRDHUP, 0};
  return ::poll(&look, 1, 0) == 0;
}

Response BegunUpload::finish(const Call& call, const std::vector<Segment>& rest, const LoadCallback& progress) {
  const auto framed = in_chunks(rest);
  UploadBody body(framed, progress);
  return run(call, impl_->connection.fd(), {}, body);
}

UploadBody::UploadBody(const std::vector<Segment>& segments, LoadCallback progress) : segments_(segments), progress_(std::move(progress)) {
  for (const Segment& segment : segments_) {
    if (size_of(segment) > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) - size_bytes_) throw InternalError("a body is too large");
    size_bytes_ += size_of(segment);
  }
}

UploadBody::Piece UploadBody::next() {
  while (at_ < segments_.size() && within_ == size_of(segments_[at_])) {
    ++at_;
    within_ = ahead_ = 0;
  }
  if (at_ == segments_.size()) return {};
  if (told_ != at_ || sent_bytes_ >= next_tell_) tell();
  const Segment& segment = segments_[at_];
  const auto size = static_cast<size_t>(std::min<std::uint64_t>(kPiece, size_of(segment) - within_));
  if (segment.fd < 0) return {std::string_view(segment.bytes).substr(static_cast<size_t>(within_), size), -1, 0, size};
  fetch_ahead(segment);
  return {{}, segment.fd, static_cast<off_t>(segment.offset + within_), size};
}

void UploadBody::advance(size_t size) {
  within_ += size;
  sent_bytes_ += size;
}

void UploadBody::tell() {
  told_ = at_;
  next_tell_ = sent_bytes_ + kTell;
  if (progress_) progress_(sent_bytes_);
}

// The share delivers the next part while the daemon takes this one.
void UploadBody::fetch_ahead(const Segment& segment) {
  if (within_ + kAhead / 2 < ahead_) return;
  const std::uint64_t until = std::min(segment.size_bytes, std::max(ahead_, within_) + kAhead);
  for (ahead_ = std::max(ahead_, within_); ahead_ < until;) {
    const std::uint64_t step = std::min(kAheadStep, until - ahead_);
    ::posix_fadvise(segment.fd, static_cast<off_t>(segment.offset + ahead_), static_cast<off_t>(step), POSIX_FADV_WILLNEED);
    ahead_ += step;
  }
}

size_t UploadBody::read(char* buffer, size_t size) {
  const auto piece = next();
  size = std::min(size, piece.size);
  if (size == 0) return 0;
  if (piece.fd < 0) {
    std::memcpy(buffer, piece.bytes.data(), size);
  } else {
    ssize_t got;
    do got = ::pread(piece.fd, buffer, size, piece.offset);
    while (got < 0 && errno == EINTR);
    if (got < 0) throw IoError("read the archive", errno, "Check the share.");
    if (got == 0) ended_early();
    size = static_cast<size_t>(got);
  }
  advance(size);
  return size;
}

void UploadBody::ended_early() {
  tell();
  throw ImageImportError(fmt::format("cannot load an image archive: the data ended after {} of {} bytes", sent_bytes_, size_bytes_));
}

Response upload(Api& api, const Call& call, UploadBody& body) {
  std::string head = head_of(api, call.request, fmt::format("Content-Length: {}", body.size_bytes()));
  try {
    const Connection connection(api.endpoint(), call.request.action);
    return run(call, connection.fd(), std::move(head), body);
  } catch (const DockerConnectionError&) {
    api.forget_version();
    throw;
  }
}

}  // namespace riverbox::docker
