#include "ssh/channel.hpp"

#include <libssh/server.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace riverbox::ssh {
namespace {

constexpr size_t kPiece = 32 << 10;

short ready(const std::vector<pollfd>& fds, int fd) {
  if (fd < 0) return 0;
  for (const pollfd& entry : fds)
    if (entry.fd == fd && entry.revents) return entry.revents;
  return 0;
}

}  // namespace

Channel::Channel(ssh_channel channel) : channel_(channel) {
  callbacks_.userdata = this;
  callbacks_.channel_data_function = on_data;
  callbacks_.channel_eof_function = on_eof;
  callbacks_.channel_close_function = on_close;
  ssh_callbacks_init(&callbacks_);
  ssh_set_channel_callbacks(channel_, &callbacks_);
}

Channel::~Channel() {
  ssh_remove_channel_callbacks(channel_, &callbacks_);  // libssh keeps the channel until the client has closed it, too
  ssh_channel_free(channel_);
}

void Channel::attach(os::UniqueFd in, os::UniqueFd out, os::UniqueFd err, bool in_is_socket) {
  in_ = std::move(in);
  out_.fd = std::move(out);
  err_.fd = std::move(err);
  in_is_socket_ = in_is_socket;
  attached_ = true;
  write_pending();
}

void Channel::want(std::vector<pollfd>& fds, bool writable) const {
  if (over_) return;
  if (in_ && !pending_.empty()) fds.push_back({in_.get(), POLLOUT, 0});
  if (closed_ || !writable || ssh_channel_window_size(channel_) == 0) return;  // the process waits, not we
  for (const Source* source : {&out_, &err_})
    if (source->fd && source->unsent.empty()) fds.push_back({source->fd.get(), POLLIN, 0});
}

bool Channel::restless() const {
  if (over_ || !attached_) return closed_ && !over_;
  const bool undelivered = in_ && (!pending_.empty() || held_);
  const bool fetch = held_ && pending_.empty(), end = client_eof_ && in_ && !undelivered && !keeps_input_open();
  return fetch || end || (closed_ && !(outlives_client() && undelivered) && !has_last_word()) || !out_.unsent.empty() || !err_.unsent.empty();
}

void Channel::move(const std::vector<pollfd>& fds, bool writable) {
  if (over_) return;
  const bool undelivered = in_ && (!pending_.empty() || held_);
  if (closed_ && !(outlives_client() && undelivered)) {
    if (drained()) all_sent();
    if (!over_ && !has_last_word()) finish();
    return;
  }
  if (ready(fds, in_.get())) write_pending();
  if (pending_.empty() && held_) fetch_held();
  if (attached_ && client_eof_ && pending_.empty() && !held_) end_input();
  if (writable && !closed_) {
    forward(err_, ready(fds, err_.fd.get()), true);
    forward(out_, ready(fds, out_.fd.get()), false);
  }
  if (!drained() || closed_) return;
  all_sent();
  if (!over_ && !eof_sent_) {
    ssh_channel_send_eof(channel_);
    eof_sent_ = true;
  }
}

int Channel::on_data(ssh_session, ssh_channel, void* data, uint32_t size, int is_stderr, void* self) noexcept {
  auto& channel = *static_cast<Channel*>(self);
  if (is_stderr) return static_cast<int>(size);
  return static_cast<int>(channel.take({static_cast<const char*>(data), size}));
}

void Channel::on_eof(ssh_session, ssh_channel, void* self) noexcept { static_cast<Channel*>(self)->client_eof_ = true; }

void Channel::on_close(ssh_session, ssh_channel, void* self) noexcept { static_cast<Channel*>(self)->closed_ = true; }

// All or nothing: what is taken, the window grows by. So what waits here and in libssh's buffer is never more than two windows.
size_t Channel::take(std::string_view bytes) {
  if (fetching_ || !pending_.empty()) {
    held_ = true;
    return 0;
  }
  if (attached_ && !in_) return bytes.size();  // nobody reads it any more
  pending_ = bytes;
  write_pending();
  return bytes.size();
}

// All of it at once, because libssh grants a whole window for every piece that is fetched.
void Channel::fetch_held() {
  fetching_ = true;
  held_ = false;
  char piece[kPiece];
  for (int n; (n = ssh_channel_read_nonblocking(channel_, piece, sizeof piece, 0)) > 0;) {
    pending_.append(piece, static_cast<size_t>(n));
    if (n < static_cast<int>(sizeof piece)) break;
  }
  fetching_ = false;
  write_pending();
}

void Channel::write_pending() {
  if (!attached_) return;
  size_t done = 0;
  while (in_ && done < pending_.size()) {
    const ssize_t n = ::write(in_.get(), pending_.data() + done, pending_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) in_.reset();  // it has closed its stdin: what else comes is dropped
    else done += static_cast<size_t>(n);
  }
  if (in_) pending_.erase(0, done);
  else pending_.clear();
  if (pending_.empty() && pending_.capacity() > kPiece) pending_.shrink_to_fit();
}

void Channel::end_input() {
  if (!in_ || keeps_input_open()) return;
  if (in_is_socket_) ::shutdown(in_.get(), SHUT_WR);
  in_.reset();
}

void Channel::forward(Source& source, bool readable, bool as_stderr) {
  if (!source.unsent.empty()) return send(source, std::exchange(source.unsent, {}), as_stderr);
  const size_t window = ssh_channel_window_size(channel_);
  if (!readable || window == 0 || closed_) return;
  char piece[kPiece];
  const ssize_t n = ::read(source.fd.get(), piece, std::min(window, sizeof piece));
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) return source.fd.reset();  // the end; of a terminal it is EIO
  send(source, {piece, static_cast<size_t>(n)}, as_stderr);
}

void Channel::send(Source& source, std::string_view bytes, bool as_stderr) {
  while (!bytes.empty()) {
    const auto size = static_cast<uint32_t>(std::min<size_t>(bytes.size(), ssh_channel_window_size(channel_)));
    const int n = size == 0 ? 0 : as_stderr ? ssh_channel_write_stderr(channel_, bytes.data(), size) : ssh_channel_write(channel_, bytes.data(), size);
    if (n < 0) closed_ = true;
    if (n < 0) return;
    if (n == 0) break;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  source.unsent = bytes;
}

void Channel::finish() {
  if (over_) return;
  over_ = true;
  in_.reset();
  out_ = {};
  err_ = {};
  pending_.clear();
  if (ssh_channel_is_open(channel_)) ssh_channel_close(channel_);
}

}  // namespace riverbox::ssh
