// The runner's tables: what it was told to run, and the reports that the host has not acknowledged yet.
#pragma once
#include <vector>

#include "base/task.hpp"
#include "store/database.hpp"

namespace riverbox::store {

extern const std::vector<std::string_view> kRunnerMigrations;

// Reports in order, durable until acknowledged.
class Outbox {
public:
  explicit Outbox(Database& db) : db_(db) {}
  std::int64_t add(const TaskReport& report);  // returns its sequence number
  void acknowledge(std::int64_t sequence);     // that one and all before it
  struct Entry { std::int64_t sequence; TaskReport report; };
  std::vector<Entry> pending(int limit = 1000);

private:
  Database& db_;
};

// Attempts this runner has accepted and not finished, for adoption after a restart.
class AttemptRepository {
public:
  explicit AttemptRepository(Database& db) : db_(db) {}
  void add(const TaskSpec& spec);              // idempotent
  void remove(TaskId id, int attempt);
  std::vector<TaskSpec> all();

private:
  Database& db_;
};

}  // namespace riverbox::store
