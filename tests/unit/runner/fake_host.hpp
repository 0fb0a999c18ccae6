// The host's end of the link, played by a test.
#pragma once
#include <doctest/doctest.h>

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "base/task.hpp"
#include "net/server.hpp"
#include "runner/runner.hpp"

namespace riverbox::test {

using nlohmann::json;

class FakeHost {
public:
  struct Stream {
    std::shared_ptr<net::WebSocket> socket;
    std::string output[2];
    bool ended = false, closed = false;
  };

  explicit FakeHost(boost::asio::io_context& loop, std::uint16_t port = 0) : loop_(loop) { listen(port); }
  ~FakeHost() { go_away(); }

  void listen(std::uint16_t port) {
    net::ServerOptions options;
    options.bind_address = "127.0.0.1";
    options.port = port;
    net::Handlers handlers;
    handlers.http = [](net::Request, std::shared_ptr<net::Responder> responder) { responder->send({404, "application/json", "{}", {}}); };
    handlers.upgrade = [this](const net::Request& request) { return upgrade(request); };
    server_ = std::make_unique<net::Server>(loop_, options, std::move(handlers));
    port_ = server_->port();
  }
  void go_away() {
    if (link) link->close(1001, "");
    if (server_) server_->stop();
    server_.reset();
    link = nullptr;
    for (auto& [name, stream] : streams) stream->socket = nullptr;
  }
  std::uint16_t port() const { return port_; }

  void send(const json& message) {
    REQUIRE(link);
    link->send(message.dump(), false);
  }
  void dispatch(const TaskSpec& task) { send({{"type", "dispatch"}, {"task", task}}); }

  // The loop runs until it is so, or `seconds` have passed.
  bool wait(const std::function<bool()>& condition, int seconds = 10) {
    for (auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds); std::chrono::steady_clock::now() < end;) {
      if (condition()) return true;
      loop_.restart();
      loop_.run_for(std::chrono::milliseconds(2));
    }
    return condition();
  }
  std::vector<json> of_type(const std::string& type) const {
    std::vector<json> out;
    for (const auto& message : received)
      if (message["type"] == type) out.push_back(message);
    return out;
  }
  std::vector<std::string> states(TaskId id) const {
    std::vector<std::string> out;
    for (const auto& message : of_type("report"))
      if (message["report"]["id"] == id.str() && (out.empty() || out.back() != message["report"]["state"])) out.push_back(message["report"]["state"]);
    return out;
  }
  json last_report(TaskId id) const {
    json last;
    for (const auto& message : of_type("report"))
      if (message["report"]["id"] == id.str()) last = message["report"];
    return last;
  }
  bool is_over(TaskId id) const {
    auto report = last_report(id);
    return report.is_object() && riverbox::is_final(parse_task_state(report["state"].get<std::string>()));
  }

  // What the test wants of it
  std::string token;            // "" = none asked
  bool greet = true, acknowledge = true, hears = true;
  double heartbeat_interval_s = 0.1;
  json refusal;                 // sent instead of the welcome

  // What it saw
  std::vector<json> received;   // on all links, in order
  int links = 0, refused = 0;
  std::shared_ptr<net::WebSocket> link;
  std::map<std::string, std::shared_ptr<Stream>> streams;

private:
  std::variant<net::Response, net::Accept> upgrade(const net::Request& request) {
    auto* authorization = request.header("authorization");
    if (!token.empty() && (!authorization || *authorization != "Bearer " + token)) {
      ++refused;
      return net::Response{401, "application/json", R"({"detail":"Not authenticated"})", {}};
    }
    if (request.path == "/api/runner/link")
      return net::Accept{"riverbox.link.v1", [this](std::shared_ptr<net::WebSocket> socket) { opened(std::move(socket)); }};
    const std::string prefix = "/api/runner/stream/";
    if (request.path.starts_with(prefix))
      return net::Accept{"riverbox.logs.v1", [this, name = request.path.substr(prefix.size())](std::shared_ptr<net::WebSocket> socket) {
                           opened_stream(name, std::move(socket));
                         }};
    return net::Response{404, "application/json", R"({"detail":"Not Found"})", {}};
  }
  void opened(std::shared_ptr<net::WebSocket> socket) {
    ++links;
    link = socket;
    net::WebSocket::Events events;
    events.message = [this, socket = socket.get()](std::string_view text, bool) { message(*socket, json::parse(text)); };
    events.closed = [this, socket = socket.get()](std::uint16_t, std::string_view) {
      if (link.get() == socket) link = nullptr;
    };
    events.drained = [] {};
    socket->start(std::move(events));
  }
  void message(net::WebSocket& socket, json message) {
    if (message["type"] == "hello" && !refusal.is_null()) {
      socket.send(refusal.dump(), false);
      socket.close(1008, "refused");
    } else if (message["type"] == "hello" && greet) {
      socket.send(json{{"type", "welcome"}, {"epoch", links}, {"heartbeat_interval_s", heartbeat_interval_s}, {"shared_dir", ""}}.dump(), false);
    }
    if (message["type"] == "report" && acknowledge) socket.send(json{{"type", "ack"}, {"sequence", message["sequence"]}}.dump(), false);
    if (message["type"] == "heartbeat" && hears) socket.send(json{{"type", "heard"}, {"sent", message["sent"]}}.dump(), false);
    received.push_back(std::move(message));
  }
  void opened_stream(const std::string& name, std::shared_ptr<net::WebSocket> socket) {
    auto stream = std::make_shared<Stream>();
    stream->socket = socket;
    streams[name] = stream;
    net::WebSocket::Events events;
    events.message = [stream](std::string_view data, bool binary) {
      if (!binary) stream->ended = json::parse(data)["type"] == "end";
      else stream->output[static_cast<int>(data[0])] += data.substr(1);
    };
    events.closed = [stream](std::uint16_t, std::string_view) { stream->closed = true; };
    events.drained = [] {};
    socket->start(std::move(events));
  }

  boost::asio::io_context& loop_;
  std::uint16_t port_ = 0;
  std::unique_ptr<net::Server> server_;
};

}  // namespace riverbox::test
