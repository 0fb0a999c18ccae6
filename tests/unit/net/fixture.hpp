// A server on a port of its own with its loop in a thread, and a client that sends what it is told to, however wrong.
#pragma once
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <thread>

#include "net/server.hpp"
#include "net/websocket.hpp"

namespace test {
using namespace riverbox;
using namespace std::chrono_literals;

inline net::ServerOptions local_options() {
  net::ServerOptions options;
  options.bind_address = "127.0.0.1";
  options.port = 0;
  return options;
}

class Loop {
public:
  Loop() : guard_(context.get_executor()), thread_([this] { context.run(); }) {}
  ~Loop() {
    guard_.reset();
    context.stop();
    thread_.join();
  }
  // Runs `work` on the loop thread and waits for it.
  template <class Work>
  auto run(Work work) {
    std::packaged_task<decltype(work())()> task(std::move(work));
    auto result = task.get_future();
    boost::asio::post(context, [&task] { task(); });
    return result.get();
  }
  boost::asio::io_context context;

private:
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_;
  std::thread thread_;
};

class TestServer {
public:
  explicit TestServer(net::Handlers handlers, net::ServerOptions options = local_options()) {
    loop.run([&] { server.emplace(loop.context, options, std::move(handlers)); });
  }
  ~TestServer() {
    loop.run([&] { server.reset(); });
  }
  std::uint16_t port() const { return server->port(); }
  std::string url(const std::string& target = "") const { return "http://127.0.0.1:" + std::to_string(port()) + target; }

  Loop loop;
  std::optional<net::Server> server;
};

// "GET /x?y=1 <body>" as the answer, so that a test sees what the handler saw.
inline void echo(net::Request request, std::shared_ptr<net::Responder> responder) {
  net::Response response;
  response.content_type = "text/plain";
  response.body = request.method + " " + request.path + " " + request.body;
  responder->send(std::move(response));
}

struct Answer {
  int status = 0;
  std::string head, body;
  bool has(const std::string& text) const { return head.find(text) != std::string::npos; }
};

class RawClient {
public:
  explicit RawClient(std::uint16_t port, int receive_buffer_bytes = 0) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (receive_buffer_bytes) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) throw std::runtime_error("connect failed");
  }
  ~RawClient() { close(); }
  RawClient(const RawClient&) = delete;
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  // False once the peer does not take it any more.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  void end_sending() { shutdown(fd_, SHUT_WR); }
  // One read; "" at the end, on an error or after `patience`.
  std::string receive(std::chrono::milliseconds patience = 5s) {
    pollfd poll_fd{fd_, POLLIN, 0};
    ended_ = false;
    if (poll(&poll_fd, 1, static_cast<int>(patience.count())) != 1) return {};
    std::string bytes(256 << 10, '\0');
    const ssize_t n = recv(fd_, bytes.data(), bytes.size(), 0);
    ended_ = n <= 0;
    bytes.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return bytes;
  }
  bool ended() const { return ended_; }
  std::string receive_all(std::chrono::milliseconds patience = 5s) {
    std::string all = std::exchange(buffer_, {});
    for (std::string part; !(part = receive(patience)).empty();) all += part;
    return all;
  }
  std::string receive_exactly(size_t size) {
    while (buffer_.size() < size) {
      std::string part = receive();
      if (part.empty()) break;
      buffer_ += part;
    }
    std::string bytes = buffer_.substr(0, size);
    buffer_.erase(0, bytes.size());
    return bytes;
  }
  std::string receive_head() {
    size_t end;
    while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
      std::string part = receive();
      if (part.empty()) return {};
      buffer_ += part;
    }
    std::string head = buffer_.substr(0, end + 4);
    buffer_.erase(0, end + 4);
    return head;
  }
  // One response with a Content-Length.
  Answer answer(bool bodiless = false) {
    Answer answer;
    answer.head = receive_head();
    if (answer.head.size() > 12) answer.status = std::stoi(answer.head.substr(9, 3));
    const size_t length = answer.head.find("Content-Length: ");
    if (length != std::string::npos && !bodiless) answer.body = receive_exactly(std::stoul(answer.head.substr(length + 16)));
    return answer;
  }
  Answer ask(std::string_view bytes) {
    send(bytes);
    return answer();
  }

private:
  int fd_;
  bool ended_ = false;
  std::string buffer_;
};

// Waits until `done()`; false after `patience`.
template <class Done>
bool eventually(Done done, std::chrono::milliseconds patience = 20s) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

}  // namespace test
