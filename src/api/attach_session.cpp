// Follows one task for a client on a WebSocket (docs/link-protocol.md, "Following from outside").
#include "api/shapes.hpp"
#include "api/sockets.hpp"
#include "api/task_feed.hpp"
#include "base/strings.hpp"

namespace riverbox::api {
namespace {

class AttachReader final : public FeedReader {
public:
  AttachReader(std::shared_ptr<net::WebSocket> socket, Identity identity, std::filesystem::path share)
      : socket_(std::move(socket)), identity_(std::move(identity)), share_(std::move(share)) {}

  void status(const store::TaskRecord& task) override { send({{"type", "status"}, {"task", task_shape(task, identity_, share_)}}); }
  void output(bool is_stderr, std::uint64_t, std::string_view bytes) override {
    std::string frame(1, is_stderr ? '\1' : '\0');
    frame += bytes;
    socket_->send(std::move(frame), true);
  }
  void end(const store::TaskRecord& task) override {
    send({{"type", "end"}, {"task", task_shape(task, identity_, share_)}});
    socket_->close(1000, "");
  }
  void fail(const std::string& why) override {
    send({{"type", "error"}, {"detail", why}});
    socket_->close(1008, "");
  }
  size_t queued_bytes() const override { return socket_->queued_bytes(); }

private:
  void send(const Json& message) { socket_->send(message.dump(-1, ' ', false, Json::error_handler_t::replace), false); }

  std::shared_ptr<net::WebSocket> socket_;
  const Identity identity_;
  const std::filesystem::path share_;
};

}  // namespace

void start_attach(const SocketCall& call, std::shared_ptr<net::WebSocket> socket) {
  auto number = [&](const char* key) {
    auto it = call.request.query.find(key);
    return it == call.request.query.end() ? std::uint64_t{0} : parse_u64(it->second).value_or(0);
  };
  auto feed = std::make_shared<TaskFeed>(call.services, call.identity, call.parameters.at("id"), FeedPosition{number("attempt"), {number("stdout_from"), number("stderr_from")}});
  socket->start({.message = [](std::string_view, bool) {},
                 .closed = [feed](std::uint16_t, std::string_view) { feed->closed(); },
                 .drained = [feed] { feed->drained(); }});
  feed->start(std::make_shared<AttachReader>(socket, call.identity, call.services.config->paths.shared_dir));
}

}  // namespace riverbox::api
