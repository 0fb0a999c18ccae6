#include "store/database.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>

#include "base/error.hpp"
#include "os/atomic_file.hpp"
#include "os/fd.hpp"

namespace riverbox::store {
namespace {

namespace fs = std::filesystem;
constexpr std::chrono::milliseconds kBusyTimeout{10'000};
constexpr size_t kMaxIdleConnections = 8;
constexpr std::uintmax_t kMaxCheckedBytes = 64u << 20;  // quick_check reads the whole file: 5 ms per MB on a slow disk
constexpr const char* kMemory = ":memory:";

// SQLite's codes in our words. `what` is the action, such as "write the database /x/host.db".
[[noreturn]] void fail(sqlite3* db, int code, const std::string& what, const fs::path& file) {
  const std::string cause = db ? sqlite3_errmsg(db) : sqlite3_errstr(code);
  const std::string message = fmt::format("cannot {}: {}", what, cause);
  switch (code & 0xFF) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      throw BadData(fmt::format("the database {} is damaged: {}", file.string(), cause),
                    "Move the file and its -wal file away, or put a copy in their place; nothing was changed.");
    case SQLITE_BUSY:
    case SQLITE_LOCKED: throw Unavailable(message, "Another process uses the database; end it or try again.");
    case SQLITE_CONSTRAINT: throw Conflict(message);
    case SQLITE_FULL: throw Error(ErrorKind::no_space, message, "Free some space and try again.");
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_IOERR: throw Error(ErrorKind::io, message, "Check the folder of the database: space, permissions, disk.");
    default: throw InternalError(message);
  }
}

bool is_network_file_system(const fs::path& dir) {
  struct statfs info {};
  if (::statfs(dir.c_str(), &info) != 0) return false;
  switch (static_cast<std::uint32_t>(info.f_type)) {
    case 0x6969:      // NFS
    case 0x517B:      // SMB
    case 0xFF534D42:  // CIFS
    case 0xFE534D42:  // SMB2
    case 0x5346414F:  // AFS
    case 0x0BD00BD0:  // Lustre
    case 0x00C36400:  // Ceph
    case 0x47504653:  // GPFS
      return true;
    default: return false;
  }
}

// What SQLite would only call "unable to open database file".
void check_place(const fs::path& file) {
  const fs::path dir = file.has_parent_path() ? file.parent_path() : ".";
  const std::string what = fmt::format("cannot keep the database {}: ", file.string());
  struct stat info {};
  if (::stat(dir.c_str(), &info) != 0)
    throw ConfigError(fmt::format("{}the folder {}: {}", what, dir.string(), ::strerror(errno)),
                      fmt::format("Make the folder with: mkdir -p {}", dir.string()));
  if (!S_ISDIR(info.st_mode)) throw ConfigError(fmt::format("{}{} is not a folder", what, dir.string()));
  if (::access(dir.c_str(), W_OK | X_OK) != 0)
    throw ConfigError(fmt::format("{}the folder {} is not writable: {}", what, dir.string(), ::strerror(errno)),
                      "Run as its owner, or set another folder in database.db_file or paths.state_dir.");
  if (is_network_file_system(dir))
    throw ConfigError(fmt::format("{}{} is on a network file system, where SQLite loses data", what, dir.string()),
                      "Set database.db_file (or paths.state_dir) to a local folder; the share stays where it is.");
  if (::stat(file.c_str(), &info) != 0) {
    // Tasks carry environment variables, which may be secrets: readable by the owner only. SQLite gives -wal the same mode.
    os::open_at(file, O_RDWR | O_CREAT, 0600);
  } else if (!S_ISREG(info.st_mode)) {
    throw ConfigError(what + "it is not an ordinary file");
  } else if (::access(file.c_str(), R_OK | W_OK) != 0) {
    throw ConfigError(fmt::format("{}{}", what, ::strerror(errno)), "Run as the owner of the file, or set another one in database.db_file.");
  }
}

}  // namespace

// ---- statements

struct Statement::Impl {
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  sqlite3* db = nullptr;
  const fs::path* file = nullptr;
  std::unique_ptr<sqlite3_stmt, Finalize> statement;
  int next_parameter = 1;
  bool in_use = false;
  bool cached = true;

  sqlite3_stmt* get() const { return statement.get(); }
  void check(int code) const {
    if (code != SQLITE_OK) fail(db, code, fmt::format("use the database {}", file->string()), *file);
  }
};

Statement::Statement(Statement&& other) noexcept : impl_(std::exchange(other.impl_, nullptr)) {}

Statement::~Statement() {
  if (!impl_) return;
  sqlite3_reset(impl_->get());
  sqlite3_clear_bindings(impl_->get());
  impl_->next_parameter = 1;
  impl_->in_use = false;
  if (!impl_->cached) delete impl_;
}

Statement& Statement::bind(std::int64_t value) {
  impl_->check(sqlite3_bind_int64(impl_->get(), impl_->next_parameter++, value));
  return *this;
}
Statement& Statement::bind(int value) { return bind(static_cast<std::int64_t>(value)); }
Statement& Statement::bind(std::string_view value) {
  // An empty view may have a null pointer, which SQLite would take for NULL.
  const char* data = value.data() ? value.data() : "";
  impl_->check(sqlite3_bind_text64(impl_->get(), impl_->next_parameter++, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}
Statement& Statement::bind(const std::string& value) { return bind(std::string_view(value)); }
Statement& Statement::bind(const std::optional<std::int64_t>& value) {
  if (value) return bind(*value);
  impl_->check(sqlite3_bind_null(impl_->get(), impl_->next_parameter++));
  return *this;
}
Statement& Statement::bind(const std::optional<std::string>& value) {
  if (value) return bind(std::string_view(*value));
  impl_->check(sqlite3_bind_null(impl_->get(), impl_->next_parameter++));
  return *this;
}
Statement& Statement::bind(double value) {
  impl_->check(sqlite3_bind_double(impl_->get(), impl_->next_parameter++, value));
  return *this;
}

bool Statement::step() {
  const int code = sqlite3_step(impl_->get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  fail(impl_->db, code, fmt::format("use the database {}", impl_->file->string()), *impl_->file);
}
void Statement::run() {
  while (step()) {
  }
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(impl_->get(), column); }
double Statement::real(int column) const { return sqlite3_column_double(impl_->get(), column); }
std::string Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(impl_->get(), column));
  return data ? std::string(data, static_cast<size_t>(sqlite3_column_bytes(impl_->get(), column))) : std::string();
}
bool Statement::is_null(int column) const { return sqlite3_column_type(impl_->get(), column) == SQLITE_NULL; }
std::int64_t Statement::changes() const { return sqlite3_changes64(impl_->db); }

// ---- connections

namespace {

class SqliteConnection : public Database::Connection {
public:
  explicit SqliteConnection(const fs::path& file, int access = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) : file_(file) {
    sqlite3* db = nullptr;
    const int code = sqlite3_open_v2(file.c_str(), &db, access | SQLITE_OPEN_NOMUTEX, nullptr);
    db_.reset(db);
    if (code != SQLITE_OK) fail(db, code, fmt::format("open the database {}", file.string()), file);
    sqlite3_busy_timeout(db, static_cast<int>(kBusyTimeout.count()));
    execute("PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF");
  }

  Statement prepare(std::string_view sql) override {
    const auto found = statements_.find(sql);
    if (found != statements_.end() && !found->second->in_use) {
      found->second->in_use = true;
      return Statement(found->second.get());
    }
    auto statement = std::make_unique<Statement::Impl>();
    sqlite3_stmt* raw = nullptr;
    const int code = sqlite3_prepare_v3(db_.get(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
    if (code != SQLITE_OK) fail(db_.get(), code, fmt::format("use the database {}", file_.string()), file_);
    statement->db = db_.get();
    statement->file = &file_;
    statement->statement.reset(raw);
    statement->in_use = true;
    // The same text twice at a time: the second one lives only as long as its owner.
    statement->cached = found == statements_.end();
    if (!statement->cached) return Statement(statement.release());
    return Statement(statements_.emplace(std::string(sql), std::move(statement)).first->second.get());
  }

  void execute(const std::string& sql) {
    const int code = sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) fail(db_.get(), code, fmt::format("use the database {}", file_.string()), file_);
  }
  std::int64_t query_integer(std::string_view sql) {
    Statement statement = prepare(sql);
    return statement.step() ? statement.integer(0) : 0;
  }
  std::string query_text(std::string_view sql) {
    Statement statement = prepare(sql);
    return statement.step() ? statement.text(0) : std::string();
  }
  // For the way out of an error: must not throw, and SQLite may have rolled back by itself.
  void roll_back() noexcept {
    if (!sqlite3_get_autocommit(db_.get())) sqlite3_exec(db_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }

private:
  struct Close {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  };
  fs::path file_;
  std::unique_ptr<sqlite3, Close> db_;  // before the statements: they go first
  std::map<std::string, std::unique_ptr<Statement::Impl>, std::less<>> statements_;
};

// Rolls back unless committed.
class Transaction {
public:
  Transaction(SqliteConnection& connection, const char* begin) : connection_(connection) { connection_.execute(begin); }
  ~Transaction() { connection_.roll_back(); }
  Transaction(Transaction&&) = delete;
  void commit() { connection_.execute("COMMIT"); }

private:
  SqliteConnection& connection_;
};

void check_health(SqliteConnection& connection, const fs::path& file) {
  std::error_code ignored;
  if (fs::file_size(file, ignored) > kMaxCheckedBytes) return;
  const std::string verdict = connection.query_text("PRAGMA quick_check(1)");
  if (verdict != "ok")
    throw BadData(fmt::format("the database {} is damaged: {}", file.string(), verdict),
                  "Move the file and its -wal file away, or put a copy in their place; nothing was changed.");
}

void migrate(SqliteConnection& connection, const fs::path& file, const std::vector<std::string_view>& migrations) {
  const auto newest = static_cast<std::int64_t>(migrations.size());
  if (connection.query_integer("PRAGMA user_version") == newest) return;
  Transaction transaction(connection, "BEGIN IMMEDIATE");
  // Asked again under the lock: another process may have done it meanwhile.
  const std::int64_t version = connection.query_integer("PRAGMA user_version");
  if (version > newest)
    throw ConfigError(fmt::format("the database {} was written by a newer riverbox (schema {}, this one knows {})", file.string(), version, newest),
                      "Install that version again, or set database.db_file to another file.");
  if (version == 0 && connection.query_integer("SELECT count(*) FROM sqlite_master") > 0)
    throw ConfigError(fmt::format("the database {} belongs to another program", file.string()),
                      "Set database.db_file to a new file; `riverbox host import-classic` takes the tasks over from the database of a HakuRiver host.");
  for (std::int64_t step = version; step < newest; ++step) connection.execute(std::string(migrations[static_cast<size_t>(step)]));
  connection.execute(fmt::format("PRAGMA user_version={}", newest));
  transaction.commit();
}

}  // namespace

// ---- the database

namespace {

// std::timed_mutex, which ThreadSanitizer takes for unlocked when it was locked with a time limit (pthread_mutex_clocklock is unknown to it).
class TimedMutex {
public:
  bool try_lock_for(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    if (!freed_.wait_for(lock, time, [this] { return !held_; })) return false;
    held_ = true;
    return true;
  }
  void unlock() {
    {
      const std::lock_guard lock(mutex_);
      held_ = false;
    }
    freed_.notify_one();
  }

private:
  std::mutex mutex_;
  std::condition_variable freed_;
  bool held_ = false;
};

}  // namespace

struct Database::Impl {
  fs::path file;
  bool memory = false;
  std::atomic<std::uint64_t> changes{0};
  TimedMutex writers;  // of this process: cheaper and fairer than SQLite's polling
  TimedMutex only;     // a database in memory has one connection for everybody
  std::mutex pool_mutex;
  std::vector<std::unique_ptr<SqliteConnection>> idle;

  std::unique_ptr<SqliteConnection> take() {
    {
      const std::lock_guard lock(pool_mutex);
      if (!idle.empty()) {
        auto connection = std::move(idle.back());
        idle.pop_back();
        return connection;
      }
    }
    return std::make_unique<SqliteConnection>(file);
  }
  void give_back(std::unique_ptr<SqliteConnection> connection) {
    const std::lock_guard lock(pool_mutex);
    if (idle.size() < kMaxIdleConnections) idle.push_back(std::move(connection));
  }

  std::unique_lock<TimedMutex> lock(TimedMutex& mutex) const {
    std::unique_lock guard(mutex, kBusyTimeout);
    if (!guard) throw Unavailable(fmt::format("the database {} is busy", file.string()), "Try again in a moment.");
    return guard;
  }

  void run(const std::function<void(Connection&)>& work, const char* begin) {
    const auto guard = memory ? lock(only) : std::unique_lock<TimedMutex>();
    auto connection = take();
    // Back into the pool even after an error, when the transaction is over: in memory there is no other one.
    struct Return {
      Impl& impl;
      std::unique_ptr<SqliteConnection>& connection;
      ~Return() { impl.give_back(std::move(connection)); }
    } back{*this, connection};
    Transaction transaction(*connection, begin);
    work(*connection);
    transaction.commit();
  }
};

Database::Database(const fs::path& file, const std::vector<std::string_view>& migrations) : impl_(std::make_unique<Impl>()) {
  impl_->file = file;
  impl_->memory = file == kMemory;
  if (!impl_->memory) check_place(file);
  auto connection = std::make_unique<SqliteConnection>(file);
  if (!impl_->memory) check_health(*connection, file);
  migrate(*connection, file, migrations);
  // After the checks: switching a foreign file to WAL would change it.
  if (const std::string mode = connection->query_text("PRAGMA journal_mode=WAL"); !impl_->memory && mode != "wal")
    throw ConfigError(fmt::format("cannot keep the database {} here: its file system has no shared memory (journal mode {})", file.string(), mode),
                      "Set database.db_file to a folder on a local disk.");
  impl_->give_back(std::move(connection));
}
Database::~Database() = default;
Database::Database(Database&&) noexcept = default;

void back_up(const fs::path& database, const fs::path& copy) {
  std::error_code ignored;
  if (!fs::exists(database, ignored)) throw NotFound(fmt::format("there is no database {}", database.string()), "`riverbox config show` tells which one is used, and why.");
  if (fs::exists(fs::symlink_status(copy, ignored))) throw Conflict(fmt::format("{} exists already", copy.string()), "Choose another name, or remove it first.");
  os::PendingFile file(fs::absolute(copy), 0600);
  std::string quoted;
  for (const char c : file.temporary_path().string()) quoted += c == '\'' ? std::string("''") : std::string(1, c);
  SqliteConnection(database).execute("VACUUM INTO '" + quoted + "'");
  file.publish();
}

void read_foreign(const fs::path& database, const std::function<void(Database::Connection&)>& work) {
  std::error_code ignored;
  if (!fs::exists(database, ignored)) throw NotFound(fmt::format("there is no file {}", database.string()));
  SqliteConnection connection(database, SQLITE_OPEN_READONLY);
  Transaction transaction(connection, "BEGIN");
  work(connection);
}

void Database::read(const std::function<void(Connection&)>& work) { impl_->run(work, "BEGIN"); }
void Database::write(const std::function<void(Connection&)>& work) {
  const auto guard = impl_->lock(impl_->writers);
  impl_->run(work, "BEGIN IMMEDIATE");
  ++impl_->changes;
}
std::uint64_t Database::changes() const { return impl_->changes; }

}  // namespace riverbox::store
