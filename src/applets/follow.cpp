#include "applets/follow.hpp"

#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <random>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "applets/exit_codes.hpp"
#include "applets/progress.hpp"
#include "base/error.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "base/task.hpp"
#include "net/url.hpp"
#include "net/websocket.hpp"

namespace riverbox::applets {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kFirstDelay = std::chrono::milliseconds(200);
constexpr auto kLongestDelay = std::chrono::milliseconds(5000);
constexpr auto kGiveUpAfter = std::chrono::minutes(10);
constexpr const char* kSubprotocol = "riverbox.logs.v1";

// What all followers of one call share.
struct Screen {
  ProgressLine line;
  bool show_state = true;
  bool by_lines = false;  // several tasks on one screen

  void out(bool error_stream, std::string_view bytes) {
    if (bytes.empty()) return;
    line.clear();
    if (error_stream)
      write_err(bytes);
    else
      write_out(bytes);
  }
};

class Follower {
public:
  Follower(boost::asio::io_context& loop, const FollowOptions& options, TaskId id, Screen& screen, std::function<void()> ended)
      : loop_(loop), options_(options), id_(id), screen_(screen), ended_(std::move(ended)), retry_(loop), shown_(options.from), last_contact_(Clock::now()) {}

  void connect() {
    net::WebSocketRequest request;
    request.url = net::at_host(options_.url, "/api/tasks/" + id_.str() + "/attach?stdout_from=" + std::to_string(shown_.bytes[0]) + "&stderr_from=" +
                                                 std::to_string(shown_.bytes[1]) + (shown_.attempt > 0 ? "&attempt=" + std::to_string(shown_.attempt) : ""));
    if (!options_.token.empty()) request.headers.emplace_back("Authorization", "Bearer " + options_.token);
    request.subprotocols = {kSubprotocol};
    net::connect_websocket(loop_, std::move(request), [this](net::WebSocketResult result) { connected(std::move(result)); });
  }

  const Json& task() const { return task_; }
  // Leaves without waiting for the host.
  void leave() {
    finished_ = true;
    retry_.cancel();
    if (socket_) socket_->close(1000, "");
  }

private:
  void connected(net::WebSocketResult result) {
    if (finished_) return;
    if (!result.socket) {
      const bool host_may_be_starting = result.http_status == 0 || result.http_status >= 500;
      if (host_may_be_starting) return try_again(result.error);
      if (result.http_status == 401 || result.http_status == 403)
        throw Unauthorized("the host does not let us follow task " + id_.str() + ": " + result.error,
                           "Set RIVERBOX_TOKEN to the token of the host.");
      throw HostRefusal(result.http_status, result.error);
    }
    socket_ = std::move(result.socket);
    delay_ = kFirstDelay;
    last_contact_ = Clock::now();
    socket_->start({.message = [this](std::string_view data, bool binary) { message(data, binary); },
                    .closed = [this](std::uint16_t, std::string_view reason) { closed(std::string(reason)); },
                    .drained = [] {}});
  }

  void message(std::string_view data, bool binary) {
    if (finished_) return;
    last_contact_ = Clock::now();
    if (binary)
      output(data);
    else
      event(Json::parse(data, nullptr, false));
  }

  void output(std::string_view frame) {
    if (frame.empty() || static_cast<unsigned char>(frame[0]) > 1) return;
    const size_t stream = static_cast<unsigned char>(frame[0]);
    const std::string_view bytes = frame.substr(1);
    shown_.bytes[stream] += bytes.size();
    if (!options_.show_output) return;
    if (screen_.by_lines)
      screen_.out(stream == 1, lines_[stream].feed(bytes));
    else
      screen_.out(stream == 1, bytes);
  }

  void event(const Json& json) {
    if (!json.is_object()) return;
    if (json.contains("task") && json["task"].is_object()) task_ = json["task"];
    if (const std::int64_t attempt = task_.is_object() ? task_.value("attempt", std::int64_t{0}) : 0; attempt != shown_.attempt) begin_attempt(attempt);
    const std::string type = text_of(json, "type", ""), state = text_of(task_, "status", "") + "/" + std::to_string(shown_.attempt);
    if (state != std::exchange(state_, state)) options_.on_status(task_);
    if (type == "status") show_state();
    if (type == "end") finish();
  }

  // Its output is counted from its first byte.
  void begin_attempt(std::int64_t attempt) {
    if (shown_.attempt > 0)
      for (const size_t stream : {0u, 1u}) screen_.out(stream == 1, lines_[stream].rest());
    shown_ = {attempt, {0, 0}};
  }

  void show_state() {
    if (!screen_.show_state) return;
    const std::string status = text_of(task_, "status", "");
    const bool waiting = status == "pending" || status == "assigning" || status == "syncing" || status == "paused";
    if (!waiting) return screen_.line.clear();
    screen_.line.message("task " + id_.str() + " " + status + "  " + text_of(task_, "error_message", ""));
  }

  void closed(const std::string& reason) {
    socket_.reset();
    if (!finished_) try_again(reason.empty() ? "the link broke" : reason);
  }

  void try_again(const std::string& reason) {
    if (Clock::now() - last_contact_ > kGiveUpAfter)
      throw Unavailable("lost the host while following task " + id_.str() + ": " + reason,
                        "The task goes on; follow it again with: logs -f " + id_.str());
    screen_.line.message("task " + id_.str() + ": waiting for the host (" + reason + ")");
    retry_.expires_after(delay_ / 2 + std::chrono::milliseconds(static_cast<int>(random_() % static_cast<unsigned>(delay_.count()))));
    delay_ = std::min(delay_ * 2, kLongestDelay);
    retry_.async_wait([this](const boost::system::error_code& error) {
      if (!error && !finished_) connect();
    });
  }

  void finish() {
    for (const size_t stream : {0u, 1u}) screen_.out(stream == 1, lines_[stream].rest());
    screen_.line.clear();
    leave();
    ended_();
  }

  boost::asio::io_context& loop_;
  const FollowOptions& options_;
  TaskId id_;
  Screen& screen_;
  std::function<void()> ended_;
  boost::asio::steady_timer retry_;
  std::shared_ptr<net::WebSocket> socket_;
  Json task_;
  std::string state_;
  OutputPosition shown_;
  LineJoiner lines_[2];
  std::chrono::milliseconds delay_ = kFirstDelay;
  Clock::time_point last_contact_;
  std::minstd_rand random_{std::random_device{}()};
  bool finished_ = false;
};

}  // namespace

std::string LineJoiner::feed(std::string_view bytes) {
  pending_ += bytes;
  const size_t end = pending_.rfind('\n');
  if (end == std::string::npos) return {};
  std::string lines = pending_.substr(0, end + 1);
  pending_.erase(0, end + 1);
  return lines;
}

std::string LineJoiner::rest() { return pending_.empty() ? std::string() : std::exchange(pending_, {}) + "\n"; }

FollowResult follow_tasks(const FollowOptions& options, const std::vector<TaskId>& ids) {
  Screen screen;
  screen.show_state = options.show_state;
  screen.by_lines = ids.size() > 1;
  FollowResult result;
  // The followers' timers belong to the loop, so they go before it; what is still queued in it is then dropped unrun.
  boost::asio::io_context loop(1);
  std::vector<std::unique_ptr<Follower>> followers;
  boost::asio::signal_set interrupt(loop, SIGINT);
  size_t open = ids.size();
  for (const TaskId id : ids) followers.push_back(std::make_unique<Follower>(loop, options, id, screen, [&open] { --open; }));
  interrupt.async_wait([&result](const boost::system::error_code& error, int) { result.interrupted = !error; });
  for (auto& follower : followers) follower->connect();
  while (open > 0 && !result.interrupted && loop.run_one() > 0) {
  }
  for (auto& follower : followers) {
    follower->leave();
    result.tasks.push_back(follower->task());
  }
  screen.line.clear();
  return result;
}

int exit_status_of(const Json& task) {
  const std::string status = text_of(task, "status", "lost");
  if (status == "killed_oom") return 137;
  const bool has_code = task.is_object() && task.contains("exit_code") && task["exit_code"].is_number_integer();
  const int code = has_code ? task["exit_code"].get<int>() : 0;
  if (status == "completed") return code > 0 ? code & 0xff : 0;
  return code > 0 && code < 256 ? code : 1;
}

std::string ending_of(const Json& task) {
  const std::string status = text_of(task, "status", "lost");
  if (status == "completed") return {};
  const std::string reason = text_of(task, "error_message", "");
  const bool has_code = task.is_object() && task.contains("exit_code") && task["exit_code"].is_number_integer() && task["exit_code"] > 0;
  const bool says_only_the_code = has_code && (reason.empty() || reason == "Exit code " + std::to_string(task["exit_code"].get<int>()) + ".");
  if (status == "failed" && says_only_the_code) return {};
  std::string what = status;
  if (status == "killed_oom") what = "was killed: it needed more memory than it was given";
  if (status == "lost") what = "is lost: its runner no longer knows it";
  return "task " + text_of(task, "task_id", "") + " " + what + (reason.empty() ? "" : ": " + reason);
}

}  // namespace riverbox::applets
