#include "tunnel/acceptor.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <utility>

#include "base/log.hpp"
#include "tunnel/socket.hpp"

namespace riverbox::tunnel {

namespace {

constexpr int kAcceptsInTurn = 16;
constexpr auto kOutOfFiles = std::chrono::milliseconds(200);  // until the next try when the process can open no more

}  // namespace

struct Acceptor::Core : std::enable_shared_from_this<Core> {
  Core(boost::asio::io_context& loop, os::UniqueFd fd, std::function<void(os::UniqueFd)> then) : socket(loop, std::move(fd)), timer(loop), accepted(std::move(then)) {}

  void wait() {
    socket.when_readable([self = shared_from_this()] { self->accept(); });
  }

  void accept() {
    for (int turn = 0; turn < kAcceptsInTurn && !closed; ++turn) {
      os::UniqueFd fd(::accept4(socket.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (fd) {
        take(std::move(fd));
      } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        return wait_for_files();
      } else if (errno == EAGAIN) {
        break;
      }
    }
    if (!closed) wait();
  }

  // What fails over one connection ends that one.
  void take(os::UniqueFd fd) {
    try {
      accepted(std::move(fd));
    } catch (const std::exception& error) {
      log::warning("tunnel", "a connection was dropped", {{"reason", error.what()}});
    }
  }

  void wait_for_files() {
    timer.after(kOutOfFiles, [self = shared_from_this()] {
      if (!self->closed) self->accept();
    });
  }

  Socket socket;
  Timer timer;
  std::function<void(os::UniqueFd)> accepted;
  bool closed = false;
};

Acceptor::Acceptor(boost::asio::io_context& loop, os::UniqueFd socket, std::function<void(os::UniqueFd)> accepted)
    : core_(std::make_shared<Core>(loop, std::move(socket), std::move(accepted))) {
  core_->wait();
}

Acceptor::~Acceptor() {
  core_->closed = true;
  core_->timer.cancel();
  core_->socket.close();
}

}  // namespace riverbox::tunnel
