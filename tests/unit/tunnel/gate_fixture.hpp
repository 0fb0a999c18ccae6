// A gate, a client of one container, servers in "the container", and users of streams. With --process the client is the program $RIVERBOX in a process of its own, else it is on the loop.
#pragma once
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "base/log.hpp"
#include "base/strings.hpp"
#include "tunnel/client.hpp"
#include "tunnel/gate.hpp"

namespace test {
using namespace riverbox;
using namespace riverbox::tunnel;
using namespace std::chrono_literals;
namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

inline std::string random_bytes(size_t size, unsigned seed) {
  std::minstd_rand random(seed);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random() >> 7);
  return bytes;
}

inline bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// A server on the loopback device; each connection has a thread.
class TcpServer {
public:
  explicit TcpServer(std::function<void(int fd)> serve, int family = AF_INET) : serve_(std::move(serve)), fd_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_storage storage{};
    storage.ss_family = static_cast<sa_family_t>(family);
    socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    if (family == AF_INET) reinterpret_cast<sockaddr_in&>(storage).sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else reinterpret_cast<sockaddr_in6&>(storage).sin6_addr = in6addr_loopback;
    ok_ = ::bind(fd_, reinterpret_cast<sockaddr*>(&storage), size) == 0 && ::listen(fd_, 512) == 0;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&storage), &size);
    port = ntohs(reinterpret_cast<sockaddr_in&>(storage).sin_port);  // at the same place in both
    if (ok_) thread_ = std::thread([this] { accept(); });
  }
  ~TcpServer() {
    ::shutdown(fd_, SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    {
      std::lock_guard lock(mutex_);
      for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    for (auto& thread : threads_) thread.join();
    ::close(fd_);
  }
  bool ok() const { return ok_; }
  std::uint16_t port = 0;

private:
  void accept() {
    for (;;) {
      const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      const int on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      std::lock_guard lock(mutex_);
      open_.push_back(fd);
      threads_.emplace_back([this, fd] {
        serve_(fd);
        std::lock_guard lock(mutex_);
        std::erase(open_, fd);
        ::close(fd);
      });
    }
  }
  std::function<void(int)> serve_;
  int fd_;
  bool ok_ = false;
  std::thread thread_;
  std::mutex mutex_;
  std::vector<int> open_;
  std::vector<std::thread> threads_;
};

inline void echo(int fd) {
  std::string buffer(64 << 10, '\0');
  for (ssize_t n; (n = ::recv(fd, buffer.data(), buffer.size(), 0)) > 0;)
    if (!send_all(fd, {buffer.data(), static_cast<size_t>(n)})) return;
}

class UdpEcho {
public:
  UdpEcho() : fd_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ::bind(fd_, reinterpret_cast<sockaddr*>(&address), size);
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size);
    port = ntohs(address.sin_port);
    const timeval wait{0, 100000};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    thread_ = std::thread([this] {
      std::string buffer(65536, '\0');
      while (!stop_) {
        sockaddr_storage from{};
        socklen_t from_size = sizeof from;
        const ssize_t n = ::recvfrom(fd_, buffer.data(), buffer.size(), 0, reinterpret_cast<sockaddr*>(&from), &from_size);
        if (n >= 0) ::sendto(fd_, buffer.data(), static_cast<size_t>(n), 0, reinterpret_cast<sockaddr*>(&from), from_size);
      }
    });
  }
  ~UdpEcho() {
    stop_ = true;
    thread_.join();
    ::close(fd_);
  }
  std::uint16_t port = 0;

private:
  int fd_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// A stream that somebody uses: sends what it is given, keeps what comes (or counts it).
struct User {
  GateStream stream;
  std::string to_send, got, why;
  size_t at = 0, got_bytes = 0, held = 0;
  std::vector<std::string> datagrams;
  bool keeps = true, reads = true, opened = false, ended = false, closed = false, end_when_sent = false;
  std::function<void()> on_data;

  StreamEvents events() {
    return {.opened = [this] { opened = true, pump(); },
            .data = [this](std::string_view bytes) { take(bytes); },
            .end = [this] { ended = true; },
            .writable = [this] { pump(); },
            .closed = [this](const std::string& reason) { closed = true, why = reason; }};
  }
  void send(std::string bytes) {
    to_send.erase(0, std::exchange(at, 0));
    to_send += bytes;
    pump();
  }
  void pump() {
    while (at < to_send.size()) {
      const size_t room = stream.room();
      if (room == 0) return;
      const size_t size = std::min(room, to_send.size() - at);
      stream.send(std::string_view(to_send).substr(at, size));
      at += size;
    }
    if (opened && std::exchange(end_when_sent, false)) stream.end();
  }
  void take(std::string_view bytes) {
    got_bytes += bytes.size();
    if (keeps) got += bytes, datagrams.emplace_back(bytes);
    if (reads) stream.consumed(bytes.size());
    else held += bytes.size();
    if (on_data) on_data();
  }
  void read_again() {
    reads = true;
    stream.consumed(std::exchange(held, 0));
  }
};

class GateWorld {
public:
  explicit GateWorld(bool start = true) : folder(fs::temp_directory_path() / ("tunnel-" + random_hex(6))), gate(std::in_place, loop, folder) {
    log::set_level(log::Level::error);
    socket = gate->add("vps-1") / "tunnel.sock";
    if (start) start_client();
    if (start && !eventually([this] { return gate->connected("vps-1"); })) throw std::runtime_error("the tunnel-client does not come");
  }
  ~GateWorld() {
    stop_client(SIGKILL);
    gate.reset();
    fs::remove_all(folder);
  }

  bool eventually(const std::function<bool()>& condition, std::chrono::milliseconds patience = 20s) {
    const auto end = Clock::now() + patience;
    while (!condition()) {
      if (Clock::now() > end) return false;
      loop.restart();
      loop.run_one_for(20ms);
    }
    return true;
  }
  void run_for(std::chrono::milliseconds time) {
    const auto end = Clock::now() + time;
    eventually([&] { return Clock::now() >= end; }, time + 1s);
  }

  // The riverbox to use with --process on the command line, else null.
  static const char* program() {
    std::ifstream file("/proc/self/cmdline");
    for (std::string word; std::getline(file, word, '\0');)
      if (word == "--process") return std::getenv("RIVERBOX");
    return nullptr;
  }
  void start_client() {
    if (!program()) {
      client.emplace(loop, ClientOptions{.socket = socket, .runner_url = {}, .container_id = {}, .reconnect_delay = 200ms});
      client->start([] {});
      return;
    }
    std::vector<std::string> words{program(), "tunnel-client", "--socket", socket.string(), "--log-level", "error"};
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    if (::posix_spawn(&process, program(), nullptr, nullptr, argv.data(), environ) != 0) throw std::runtime_error("the tunnel-client cannot be started");
  }
  // Its exit status; -n: of a signal. Without a process 0.
  int stop_client(int signal) {
    client.reset();
    if (process <= 0) return 0;
    ::kill(process, signal);
    int status = 0;
    ::waitpid(std::exchange(process, -1), &status, 0);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
  }

  std::unique_ptr<User> open(std::uint16_t port, Proto proto = Proto::tcp) {
    auto user = std::make_unique<User>();
    user->stream = gate->open("vps-1", proto, port, user->events());
    return user;
  }
  // Of a process: what it holds in memory, in KiB.
  long resident_kib() const {
    std::ifstream file("/proc/" + (process > 0 ? std::to_string(process) : std::string("self")) + "/status");
    for (std::string line; std::getline(file, line);)
      if (line.starts_with("VmRSS:")) return std::atol(line.c_str() + 6);
    return 0;
  }

  boost::asio::io_context loop;
  fs::path folder, socket;
  std::optional<Gate> gate;
  std::optional<Client> client;
  pid_t process = -1;
};

}  // namespace test
