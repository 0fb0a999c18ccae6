// A way into a running task: a connection of a client, and one that the runner of its node dials for it. Loop thread, except where said.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/steady_timer.hpp>

#include "api/services.hpp"
#include "api/sockets.hpp"
#include "base/error.hpp"

namespace riverbox::api {

// Where it leads.
struct TaskPlace {
  TaskId id;
  int attempt = 1;
  host::NodeView node;
};
// Throws NotFound, Conflict or Unavailable: why there can be none. State worker.
TaskPlace find_place(Services& services, const Identity& identity, TaskId id);
// Throws Conflict: its runner is too old for this, which is "to open a terminal in a task".
[[noreturn]] void refuse_old_runner(const TaskPlace& place, const char* what);

// Asks the runner for a stream and waits for it. One of the two is called, once; neither after forget().
class StreamWish : public std::enable_shared_from_this<StreamWish> {
public:
  explicit StreamWish(Services& services) : services_(services), patience_(services.loop) {}
  // `ask` is to say to the runner that it shall dial the stream of this name.
  void make(const std::string& node, const std::function<void(const std::string& stream)>& ask, std::function<void(std::shared_ptr<net::WebSocket>)> arrived,
            std::function<void(const std::string& why)> failed);
  void forget();

private:
  Services& services_;
  boost::asio::steady_timer patience_;
  std::string expected_;
};

// Messages of a WebSocket client passed on to the runner and back, whatever they say.
class TaskStream : public std::enable_shared_from_this<TaskStream> {
public:
  TaskStream(const SocketCall& call, std::shared_ptr<net::WebSocket> client);
  virtual ~TaskStream() = default;
  void start();

protected:
  // Throws Conflict when its node cannot. State worker.
  virtual void check(const TaskPlace& place) const = 0;
  virtual void ask(const TaskPlace& place, const std::string& stream) = 0;
  // Tells the client, and closes.
  virtual void tell_refusal(net::WebSocket& client, ErrorKind kind, const std::string& why) = 0;
  virtual void tell_begin(net::WebSocket&) {}

  Services& services_;

private:
  void look();
  void dial(const TaskPlace& place);
  void arrived(std::shared_ptr<net::WebSocket> stream);
  static void pass(net::WebSocket& from, const std::shared_ptr<net::WebSocket>& to, std::string_view data, bool binary);
  void client_closed(std::uint16_t code, std::string_view reason);
  void runner_closed(std::uint16_t code, std::string_view reason);
  void refuse(ErrorKind kind, const std::string& why);

  const Identity identity_;
  const std::string task_;
  std::shared_ptr<net::WebSocket> client_, runner_;  // null: not there, or not any more
  std::string node_;
  const std::shared_ptr<StreamWish> wish_;
};

}  // namespace riverbox::api
