// One channel of a connection: bytes between it and a process, a terminal or a socket. Nothing here blocks, and no more is held than the windows of both sides allow.
#pragma once
#include <libssh/callbacks.h>
#include <libssh/libssh.h>
#include <poll.h>
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "os/child.hpp"
#include "os/fd.hpp"

namespace riverbox::ssh {

class Channel {
public:
  explicit Channel(ssh_channel channel);
  virtual ~Channel();
  Channel(Channel&&) = delete;

  // What is to be waited for. `writable`: libssh has sent all that it was given.
  virtual void want(std::vector<pollfd>& fds, bool writable) const;
  // After the wait: moves what can be moved, one piece each way.
  virtual void move(const std::vector<pollfd>& fds, bool writable);
  // Whether a process was this channel's.
  virtual bool child_ended(pid_t, int) { return false; }
  // Whether move() has something to do that no descriptor will tell: libssh reads packets also while it sends.
  bool restless() const;
  bool over() const { return over_; }
  ssh_channel handle() const { return channel_; }

protected:
  // What the client sends goes to `in`; what comes from `out` goes to the client, what comes from `err` as its stderr.
  void attach(os::UniqueFd in, os::UniqueFd out, os::UniqueFd err, bool in_is_socket);
  bool attached() const { return attached_; }
  bool drained() const { return attached_ && out_.over() && err_.over(); }
  bool client_is_done() const { return client_eof_ && !in_; }
  bool closed_by_client() const { return closed_; }
  int input_fd() const { return in_.get(); }
  void finish();  // closes the channel
  ssh_channel_callbacks_struct callbacks_{};

private:
  struct Source {
    os::UniqueFd fd;
    std::string unsent;  // what libssh does not take while keys are exchanged anew
    bool over() const { return !fd && unsent.empty(); }
  };
  static int on_data(ssh_session, ssh_channel, void* data, uint32_t size, int is_stderr, void* self) noexcept;
  static void on_eof(ssh_session, ssh_channel, void* self) noexcept;
  static void on_close(ssh_session, ssh_channel, void* self) noexcept;
  size_t take(std::string_view bytes);
  void write_pending();
  void fetch_held();
  void end_input();
  void forward(Source& source, bool readable, bool as_stderr);
  void send(Source& source, std::string_view bytes, bool as_stderr);
  virtual void all_sent() {}  // nothing more comes from the process or the socket
  virtual bool keeps_input_open() const { return false; }
  virtual bool outlives_client() const { return false; }  // what the client sent before it closed the channel is still delivered
  virtual bool has_last_word() const { return false; }    // something will be told even though the client has closed the channel

  ssh_channel channel_;
  os::UniqueFd in_;
  Source out_, err_;
  bool in_is_socket_ = false, attached_ = false;
  std::string pending_;      // from the client, not written yet: at most what the window allowed
  bool held_ = false;        // there is more in libssh's buffer
  bool fetching_ = false;
  bool client_eof_ = false, closed_ = false, over_ = false, eof_sent_ = false;
};

}  // namespace riverbox::ssh
