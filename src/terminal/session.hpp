// A shell that several clients share: it outlives them, remembers what it has said, and shows that to whoever joins. docs/terminal-protocol.md, "Sessions".
#pragma once
#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/error.hpp"
#include "os/worker_pool.hpp"
#include "terminal/scrollback.hpp"
#include "terminal/shell.hpp"

namespace riverbox::terminal {

// Loop thread, except where said. The shell is read whether somebody looks or not. It goes at the pace of its quickest reader while that takes a MiB in a second; who is so
// slow that the scroll-back passes by is shown the end of it, and how much was left out. Its size is the smallest of those who may type: nobody draws the screen anew for
// each client, so what fits the smallest is right on all.
class SharedSession : public std::enable_shared_from_this<SharedSession> {
public:
  static constexpr size_t kScrollbackBytes = 1 << 20, kMostClients = 32;

  // Any thread. `ended` is called once, from any thread, when nobody can join any more. `workers` must outlive the loop's last turn.
  SharedSession(boost::asio::io_context& loop, os::WorkerPool& workers, SessionName name, Opener opener, std::function<void()> ended);
  // Worker; the first one opens the shell, the others wait for that. What comes back is this client's end of the session: hang_up() and its destruction mean that it leaves.
  // Throws what the opener throws, Conflict when there are too many.
  std::unique_ptr<Shell> join(const OpenRequest& request, const SessionWish& wish);
  void end();  // hangs up the shell
  std::uint64_t id() const { return id_; }
  SessionFacts facts() const;

private:
  struct Client;
  class View;
  struct Result {
    int status = 0;
    std::optional<Error> error = {};  // instead of a status
  };
  enum class Farewell { none, exit_status, hang_up };

  // ---- clients
  void enter(std::shared_ptr<Client> client, std::optional<SessionPlace> resume);
  void leave(Client& client);
  std::optional<size_t> read(Client& client, char* buffer, size_t size);
  std::optional<size_t> type(Client& client, const char* bytes, size_t size);
  void resize(Client& client, std::uint16_t rows, std::uint16_t columns);
  void skip(Client& client);
  void fit_size();
  void redraw();
  void tell_all(std::function<void()> Client::*what);
  std::optional<std::uint64_t> quickest() const;
  bool waits_for_reader();
  void watch_pace(std::uint64_t from);

  // ---- the shell
  void begin(std::shared_ptr<Shell> shell, std::pair<std::uint16_t, std::uint16_t> size);
  void read_shell();
  void write_shell();
  void wait_for(boost::asio::posix::descriptor_base::wait_type what, bool SharedSession::*waiting, void (SharedSession::*then)());
  void shell_is_over(Farewell farewell, std::optional<Error> why = {});
  void next_call();
  void call(std::function<void(Shell&)> work, std::function<void()> done);
  void call_resize();
  void call_farewell();

  boost::asio::io_context& loop_;
  os::WorkerPool& workers_;
  const SessionName name_;
  const std::uint64_t id_;
  const std::chrono::system_clock::time_point since_ = std::chrono::system_clock::now();
  std::function<void()> ended_;

  std::once_flag opened_;
  Opener opener_;                      // while it is being opened
  std::exception_ptr refusal_;         // set before opened_ is
  std::atomic<size_t> joined_ = 0;

  std::vector<std::shared_ptr<Client>> clients_;
  Client* speaker_ = nullptr;          // who typed last: its terminal answers what a program asks the terminal
  Scrollback scrollback_{kScrollbackBytes};

  std::shared_ptr<Shell> shell_;       // shared with the call that runs
  boost::asio::posix::stream_descriptor descriptor_;  // a duplicate of the shell's, for waiting only
  bool running_ = false, doomed_ = false;
  bool waiting_to_read_ = false, waiting_to_write_ = false, read_posted_ = false;
  bool waits_ = false, watches_pace_ = false, hurried_ = false;  // for its quickest reader; that is being measured; it is too slow
  std::string input_;                  // not yet taken by the shell

  std::pair<std::uint16_t, std::uint16_t> size_{0, 0};  // rows, columns
  bool size_due_ = false, redraw_due_ = false, resizing_ = false, calling_ = false;
  Farewell farewell_ = Farewell::none;
  std::optional<Error> why_over_;
  std::optional<Result> result_;       // it is over
  boost::asio::steady_timer pace_timer_, retry_timer_;
};

// All that a runner has, by where they are and name. Thread-safe; `loop` runs until they have ended.
class Sessions : public std::enable_shared_from_this<Sessions> {
public:
  static constexpr size_t kMostInOnePlace = 16;

  Sessions(boost::asio::io_context& loop, os::WorkerPool& workers) : loop_(loop), workers_(workers) {}
  // Worker; see SharedSession::join(). Begins the session unless the client wants one that is there; a fresh one must not be. `opener`: of a shell at that place.
  // Throws NotFound, Conflict, Unavailable as well.
  std::unique_ptr<Shell> join(const std::string& place, const OpenRequest& request, const SessionWish& wish, Opener opener);
  std::vector<SessionFacts> list(const std::string& place) const;  // loop thread
  // Loop thread. Ends them all; none is begun any more.
  void stop();

private:
  using Key = std::pair<std::string, SessionName>;
  std::shared_ptr<SharedSession> find_or_begin(const Key& key, const SessionWish& wish, Opener opener);
  void ended(const Key& key, std::uint64_t id);

  boost::asio::io_context& loop_;
  os::WorkerPool& workers_;
  mutable std::mutex mutex_;  // guards the two below; never held while a session is called
  std::map<Key, std::shared_ptr<SharedSession>> all_;
  bool stopped_ = false;
};

}  // namespace riverbox::terminal
