// What the host counts about itself, for Prometheus (text format 0.0.4, base units). Thread-safe.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/task_state.hpp"
#include "host/nodes.hpp"
#include "host/scheduler.hpp"

namespace riverbox::api {

// Facts of one moment, which are read when somebody asks.
struct Snapshot {
  std::vector<std::pair<TaskState, std::uint64_t>> tasks;         // as many as the database has
  std::vector<std::pair<host::NodeView, host::Usage>> nodes;
};

class Metrics {
public:
  // `route`: the pattern, never the path: labels must not grow with the users' names.
  void request(const std::string& method, const std::string& route, int status, std::chrono::duration<double> took);
  // A node has loaded an environment: so much was sent to its engine, so much had been there.
  struct Load {
    std::string way;  // "thin" or "full"
    std::uint64_t sent_bytes = 0, saved_bytes = 0;
    double seconds = 0;
  };
  void load(const Load& load);
  std::string text(const Snapshot& snapshot) const;

private:
  static constexpr std::array<double, 8> kBuckets{0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60};  // seconds
  struct Route {
    std::array<std::uint64_t, kBuckets.size() + 1> counts{};  // each of its bucket alone
    double seconds = 0;
    std::map<int, std::uint64_t> by_status;
  };
  struct Loads {
    std::uint64_t count = 0, sent_bytes = 0, saved_bytes = 0;
    double seconds = 0;
  };
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, Route> routes_;  // method, pattern
  std::map<std::string, Loads> loads_;                           // by way
};

}  // namespace riverbox::api
