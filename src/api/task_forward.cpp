// Ports of a running task (docs/tunnel-protocol.md). Its runner serves them; here messages are passed on.
#include "api/task_stream.hpp"
#include "tunnel/user_session.hpp"

namespace riverbox::api {
namespace {

// Before the messages of the tunnel comes one word, as KohakuRiver's clients want it.
class TaskForward final : public TaskStream {
public:
  using TaskStream::TaskStream;

private:
  void check(const TaskPlace& place) const override {
    if (!place.node.description.forwards) refuse_old_runner(place, "to reach ports of a task");
  }
  void ask(const TaskPlace& place, const std::string& stream) override { place.node.link->open_forward(stream, place.id, place.attempt); }
  void tell_begin(net::WebSocket& client) override {
    client.send("CONNECTED", false);
    begun_ = true;
  }
  void tell_refusal(net::WebSocket& client, ErrorKind kind, const std::string& why) override {
    if (begun_) return client.close(1001, "the connection to the node was lost");
    client.send("Error: " + why, false);
    const bool gone = kind == ErrorKind::not_found;
    client.close(gone || kind == ErrorKind::conflict ? 1008 : 1011, std::string(gone ? tunnel::kGone : ""));
  }

  bool begun_ = false;
};

}  // namespace

void start_task_forward(const SocketCall& call, std::shared_ptr<net::WebSocket> socket) { std::make_shared<TaskForward>(call, std::move(socket))->start(); }

}  // namespace riverbox::api
