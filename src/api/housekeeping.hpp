// What the host does by itself from time to time. Loop thread.
#pragma once
#include <chrono>
#include <vector>

#include <boost/asio/steady_timer.hpp>

#include "api/services.hpp"

namespace riverbox::api {

class Housekeeping {
public:
  explicit Housekeeping(Services& services);
  void start();
  void stop();

private:
  using Clock = std::chrono::steady_clock;
  void wait();
  void look(bool was_away);
  void prune();  // any thread
  void tidy();
  void remove_output(const std::vector<store::TaskRecord>& due);
  void tidied(bool more);  // any thread

  Services& services_;
  boost::asio::steady_timer timer_;
  Clock::time_point due_{};       // the next look
  Clock::time_point tidy_next_{}, note_uses_next_{}, prune_next_{};
  bool tidying_ = false;
  host::Retention::OldOutput tidied_until_;  // of this round; of the one who tidies
};

}  // namespace riverbox::api
