// The doors of containers: for each a folder, mounted read-only at /run/riverbox in it, with the socket of its tunnel and, in that of a VPS, what its SSH server needs. It survives the
// container, so that a VPS has the same host key whatever it is made from.
#pragma once
#include <chrono>
#include <filesystem>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/task.hpp"
#include "tunnel/gate.hpp"

namespace riverbox::runner {

class Doors {
public:
  // `folder` is made, for this user alone. Throws IoError.
  Doors(boost::asio::io_context& loop, std::filesystem::path folder);

  // Any thread. Before the container is made or taken up; nothing happens when it is open. Blocking (local disk). Throws IoError.
  void open(const std::string& container, const std::optional<VpsSpec>& vps);
  // Of the doors whose names begin so, only these stay: a runner that was killed has left the others. Before the first is opened. Blocking (local disk).
  void tidy(std::string_view prefix, const std::set<std::string>& containers) const;
  // Any thread. The container is no more.
  void forget(const std::string& container);

  // The rest: loop thread.
  boost::asio::io_context& loop() { return loop_; }
  tunnel::Gate& gate() { return *gate_; }
  // `done(true)` as soon as it has a tunnel, which may be now; false when it has none after the time.
  void await_tunnel(const std::string& container, std::chrono::milliseconds time, std::function<void(bool)> done);
  bool is_awaited(const std::string& container) const;
  // The runner stops: nobody comes through any more, and who waits is told nothing.
  void stop();

private:
  struct Waiter {
    std::string container;
    std::function<void(bool)> done;
    boost::asio::steady_timer timer;
    bool over = false;
  };
  void changed(const std::string& container, bool connected);

  boost::asio::io_context& loop_;
  const std::filesystem::path folder_;
  std::shared_ptr<tunnel::Gate> gate_;
  std::list<std::shared_ptr<Waiter>> waiters_;
};

}  // namespace riverbox::runner
