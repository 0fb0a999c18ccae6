#include "store/runner_store.hpp"

#include <fmt/format.h>

#include "base/error.hpp"
#include "base/json.hpp"

namespace riverbox::store {
namespace {

// AUTOINCREMENT: a sequence number is never used again, not even after the outbox was empty and the runner restarted.
// Otherwise a late acknowledgement could delete a new report.
constexpr std::string_view kSchema1 = R"(
CREATE TABLE outbox (
  sequence  INTEGER PRIMARY KEY AUTOINCREMENT,
  report    TEXT NOT NULL
) STRICT;
CREATE TABLE attempts (
  task     INTEGER NOT NULL,
  attempt  INTEGER NOT NULL,
  spec     TEXT NOT NULL,
  PRIMARY KEY (task, attempt)
) STRICT, WITHOUT ROWID;
)";

template <typename Value>
std::string as_text(const Value& value) {
  return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

template <typename Value>
Value parse(const std::string& text) {
  try {
    return nlohmann::json::parse(text).get<Value>();
  } catch (const nlohmann::json::exception& error) {
    throw BadData(fmt::format("an entry of the runner's database cannot be read: {}", error.what()));
  }
}

}  // namespace

const std::vector<std::string_view> kRunnerMigrations{kSchema1};

std::int64_t Outbox::add(const TaskReport& report) {
  std::int64_t sequence = 0;
  db_.write([&](Database::Connection& connection) {
    Statement statement = connection.prepare("INSERT INTO outbox (report) VALUES (?) RETURNING sequence");
    statement.bind(as_text(report));
    if (statement.step()) sequence = statement.integer(0);
    statement.run();
  });
  return sequence;
}

void Outbox::acknowledge(std::int64_t sequence) {
  db_.write([&](Database::Connection& connection) { connection.prepare("DELETE FROM outbox WHERE sequence <= ?").bind(sequence).run(); });
}

std::vector<Outbox::Entry> Outbox::pending(int limit) {
  std::vector<Entry> entries;
  db_.read([&](Database::Connection& connection) {
    Statement row = connection.prepare("SELECT sequence, report FROM outbox ORDER BY sequence LIMIT ?");
    row.bind(limit);
    while (row.step()) entries.push_back({row.integer(0), parse<TaskReport>(row.text(1))});
  });
  return entries;
}

void AttemptRepository::add(const TaskSpec& spec) {
  db_.write([&](Database::Connection& connection) {
    connection.prepare("INSERT OR REPLACE INTO attempts (task, attempt, spec) VALUES (?, ?, ?)")
        .bind(static_cast<std::int64_t>(spec.id.value()))
        .bind(spec.attempt)
        .bind(as_text(spec))
        .run();
  });
}

void AttemptRepository::remove(TaskId id, int attempt) {
  db_.write([&](Database::Connection& connection) {
    connection.prepare("DELETE FROM attempts WHERE task=? AND attempt=?").bind(static_cast<std::int64_t>(id.value())).bind(attempt).run();
  });
}

std::vector<TaskSpec> AttemptRepository::all() {
  std::vector<TaskSpec> specs;
  db_.read([&](Database::Connection& connection) {
    Statement row = connection.prepare("SELECT spec FROM attempts ORDER BY task, attempt");
    while (row.step()) specs.push_back(parse<TaskSpec>(row.text(0)));
  });
  return specs;
}

}  // namespace riverbox::store
