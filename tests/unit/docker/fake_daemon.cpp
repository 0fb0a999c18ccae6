#include "fake_daemon.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>

namespace riverbox::docker::test {

namespace {

void send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    auto sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

size_t content_length(const std::string& head) {
  auto at = head.find("Content-Length: ");
  return at == head.npos ? 0 : std::stoul(head.substr(at + 16));
}

std::string status_line(int status) { return "HTTP/1.1 " + std::to_string(status) + " Whatever\r\n"; }

}  // namespace

Answer json_answer(const std::string& body, int status) {
  return {{status_line(status) + "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body}};
}

Answer chunked_answer(const std::vector<std::string>& pieces, bool complete) {
  Answer answer;
  answer.pieces.push_back(status_line(200) + "Transfer-Encoding: chunked\r\n\r\n");
  for (auto& piece : pieces) {
    char size[32];
    std::snprintf(size, sizeof size, "%zx\r\n", piece.size());
    answer.pieces.push_back(size + piece + "\r\n");
  }
  if (complete) answer.pieces.push_back("0\r\n\r\n");
  answer.close = !complete;
  return answer;
}

FakeDaemon::FakeDaemon(Handler handler, std::string api) : handler_(std::move(handler)), api_(std::move(api)) {
  char name[] = "/tmp/rb-fake-daemon-XXXXXX";
  folder_ = ::mkdtemp(name);
  path_ = folder_ + "/docker.sock";
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path_.c_str());
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(listener_, 16) != 0) std::abort();
  threads_.emplace_back([this] { accept_loop(); });
}

FakeDaemon::~FakeDaemon() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (int fd : open_) ::shutdown(fd, SHUT_RDWR);
  }
  ::shutdown(listener_, SHUT_RDWR);
  threads_.front().join();
  for (size_t i = 1; i < threads_.size(); ++i) threads_[i].join();
  for (int fd : open_) ::close(fd);
  ::close(listener_);
  ::unlink(path_.c_str());
  ::rmdir(folder_.c_str());
}

Endpoint FakeDaemon::endpoint() const { return Endpoint::parse("unix://" + path_); }

std::vector<Seen> FakeDaemon::seen() {
  std::lock_guard lock(mutex_);
  return seen_;
}

int FakeDaemon::connections() {
  std::lock_guard lock(mutex_);
  return connections_;
}

void FakeDaemon::set_api(const std::string& api) {
  std::lock_guard lock(mutex_);
  api_ = api;
}

void FakeDaemon::drop_connections() {
  std::lock_guard lock(mutex_);
  for (int fd : open_) ::shutdown(fd, SHUT_RDWR);
}

void FakeDaemon::accept_loop() {
  for (;;) {
    int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    std::lock_guard lock(mutex_);
    if (stopping_ || fd < 0) {
      if (fd >= 0) ::close(fd);
      return;
    }
    ++connections_;
    open_.push_back(fd);  // closed by the destructor: the number stays ours
    threads_.emplace_back([this, fd] { serve(fd); });
  }
}

void FakeDaemon::serve(int fd) {
  std::string input;
  auto more = [&] {
    char buffer[64 << 10];
    auto got = ::recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) return false;
    input.append(buffer, static_cast<size_t>(got));
    return true;
  };
  for (;;) {
    size_t end;
    while ((end = input.find("\r\n\r\n")) == input.npos)
      if (!more()) return;
    Seen seen;
    seen.head = input.substr(0, end + 2);
    input.erase(0, end + 4);
    auto first = seen.head.find(' '), second = seen.head.find(' ', first + 1);
    seen.method = seen.head.substr(0, first);
    seen.target = seen.head.substr(first + 1, second - first - 1);
    std::string api;
    {
      std::lock_guard lock(mutex_);
      api = api_;
    }
    if (seen.target == "/_ping") {
      send_all(fd, "HTTP/1.1 200 OK\r\nApi-Version: " + api + "\r\nServer: Docker/9.9\r\nContent-Length: 2\r\n\r\nOK");
      continue;
    }
    if (seen.target.starts_with("/v")) seen.target.erase(0, seen.target.find('/', 1));
    Answer early = handler_(seen);
    if (!early.close_before_body) {
      if (seen.head.find("Transfer-Encoding: chunked\r\n") != seen.head.npos) {
        for (size_t size = 1; size > 0;) {
          size_t line;
          while ((line = input.find("\r\n")) == input.npos)
            if (!more()) return;
          size = std::stoull(input.substr(0, line), nullptr, 16);
          while (input.size() < line + 2 + size + 2)
            if (!more()) return;
          seen.body += input.substr(line + 2, size);
          input.erase(0, line + 2 + size + 2);
        }
      }
      while (input.size() < content_length(seen.head))
        if (!more()) return;
      seen.body += input.substr(0, content_length(seen.head));
      input.erase(0, content_length(seen.head));
    }
    {
      std::lock_guard lock(mutex_);
      seen_.push_back(seen);
    }
    Answer& answer = early;
    if (answer.never) continue;
    for (auto& piece : answer.pieces) {
      send_all(fd, piece);
      if (answer.pieces.size() > 1) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    if (answer.close || answer.close_before_body) {
      ::shutdown(fd, SHUT_RDWR);
      return;
    }
  }
}

}  // namespace riverbox::docker::test
