// SQLite (WAL, never on the share). Blocking: call from a worker. sqlite3.h is included only in store/*.cpp.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace riverbox::store {

class Statement;

// One file. Thread-safe: connections are pooled, writers wait for each other (busy time-out 10 s).
class Database {
public:
  // Opens or creates, sets WAL and synchronous=FULL, runs the migrations ("user_version"). A newer schema is refused
  // (ConfigError); a damaged file is an error that says so and leaves it alone. ":memory:" works for tests.
  Database(const std::filesystem::path& file, const std::vector<std::string_view>& migrations);
  ~Database();
  Database(Database&&) noexcept;

  class Connection {
  public:
    virtual ~Connection() = default;
    virtual Statement prepare(std::string_view sql) = 0;  // cached per connection
  };
  // Runs `work` with a connection, inside a transaction (write: BEGIN IMMEDIATE) that is rolled back when it throws.
  // Statements must not outlive `work`, and `work` must not call read() or write() again.
  void read(const std::function<void(Connection&)>& work);
  void write(const std::function<void(Connection&)>& work);
  // How often something was written: another number after each write(). Any thread.
  std::uint64_t changes() const;

private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A complete copy of a database at one moment of it, also of one that is in use. It appears when it is whole, readable by its owner only. Blocking. Throws NotFound, Conflict
// when something has that name, IoError.
void back_up(const std::filesystem::path& database, const std::filesystem::path& copy);

// Reads the database of another program, as it is at one moment; nothing in it is changed. Blocking. Throws NotFound, BadData when it is none.
void read_foreign(const std::filesystem::path& database, const std::function<void(Database::Connection&)>& work);

// A prepared statement: bind in order, step, read columns.
class Statement {
public:
  struct Impl;
  explicit Statement(Impl* impl) : impl_(impl) {}
  Statement(Statement&&) noexcept;
  ~Statement();  // resets, keeps it cached
  Statement& bind(std::int64_t value);
  Statement& bind(int value);
  Statement& bind(std::string_view value);
  Statement& bind(const std::string& value);
  Statement& bind(const std::optional<std::int64_t>& value);
  Statement& bind(const std::optional<std::string>& value);
  Statement& bind(double value);
  bool step();   // true: a row is there
  void run();    // step to the end
  std::int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;
  bool is_null(int column) const;
  std::int64_t changes() const;

private:
  Impl* impl_;
};

}  // namespace riverbox::store
