#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "base/error.hpp"
#include "store/database.hpp"
#include "temporary_dir.hpp"

using namespace riverbox;
using namespace riverbox::store;
namespace fs = std::filesystem;

namespace {

const std::vector<std::string_view> kOne{"CREATE TABLE t (a INTEGER, b TEXT) STRICT"};
const std::vector<std::string_view> kTwo{kOne[0], "ALTER TABLE t ADD COLUMN c REAL; UPDATE t SET c = a * 2"};
const std::vector<std::string_view> kBroken{kOne[0], "ALTER TABLE t ADD COLUMN c REAL; CREATE GARBAGE"};

void add(Database& db, int a) {
  db.write([&](Database::Connection& c) { c.prepare("INSERT INTO t (a, b) VALUES (?, ?)").bind(a).bind(std::string("x")).run(); });
}

std::int64_t count(Database& db) {
  std::int64_t n = 0;
  db.read([&](Database::Connection& c) {
    Statement s = c.prepare("SELECT count(*) FROM t");
    s.step();
    n = s.integer(0);
  });
  return n;
}

template <typename Kind>
std::string refusal(const fs::path& file, const std::vector<std::string_view>& migrations = kOne) {
  try {
    Database db(file, migrations);
  } catch (const Kind& error) {
    return error.what();
  }
  return "(no such error)";
}

bool mentions(const std::string& text, std::string_view word) { return text.find(word) != std::string::npos; }

}  // namespace

TEST_CASE("values come back as they went in, NULL and odd bytes included") {
  Database db(":memory:", kTwo);
  const std::string odd("a\0b\xff", 4);
  db.write([&](Database::Connection& c) {
    c.prepare("INSERT INTO t (a, b, c) VALUES (?, ?, ?)").bind(std::int64_t{-5}).bind(odd).bind(2.5).run();
    c.prepare("INSERT INTO t (a, b, c) VALUES (?, ?, ?)").bind(std::optional<std::int64_t>()).bind(std::string_view()).bind(1.0).run();
    c.prepare("INSERT INTO t (a, b) VALUES (?, ?)").bind(std::optional<std::int64_t>(7)).bind(std::optional<std::string>()).run();
  });
  db.read([&](Database::Connection& c) {
    Statement s = c.prepare("SELECT a, b, c FROM t ORDER BY rowid");
    REQUIRE(s.step());
    CHECK(s.integer(0) == -5);
    CHECK(s.text(1) == odd);
    CHECK(s.real(2) == 2.5);
    REQUIRE(s.step());
    CHECK(s.is_null(0));
    CHECK_FALSE(s.is_null(1));
    CHECK(s.text(1).empty());
    REQUIRE(s.step());
    CHECK(s.integer(0) == 7);
    CHECK(s.is_null(1));
    CHECK_FALSE(s.step());
  });
}

TEST_CASE("the same statement twice at a time") {
  Database db(":memory:", kOne);
  add(db, 1);
  add(db, 2);
  int pairs = 0;
  db.read([&](Database::Connection& c) {
    Statement outer = c.prepare("SELECT a FROM t");
    while (outer.step()) {
      Statement inner = c.prepare("SELECT a FROM t");
      while (inner.step()) ++pairs;
    }
  });
  CHECK(pairs == 4);
}

TEST_CASE("an exception rolls everything back and the database goes on working") {
  Database db(":memory:", kOne);
  CHECK_THROWS_AS(db.write([](Database::Connection& c) {
    c.prepare("INSERT INTO t (a) VALUES (1)").run();
    throw std::runtime_error("no");
  }),
                  std::runtime_error);
  CHECK_THROWS_AS(db.read([](Database::Connection& c) { c.prepare("SELECT nonsense FROM t").run(); }), InternalError);
  CHECK(count(db) == 0);
  add(db, 1);
  CHECK(count(db) == 1);
}

TEST_CASE("migrations run once, in order, and keep the data") {
  TemporaryDir dir;
  const fs::path file = dir.path / "a.db";
  {
    Database db(file, kOne);
    add(db, 21);
  }
  CHECK((fs::status(file).permissions() & fs::perms::all) == fs::perms(0600));
  {
    Database db(file, kTwo);
    db.read([](Database::Connection& c) {
      Statement s = c.prepare("SELECT c FROM t");
      REQUIRE(s.step());
      CHECK(s.real(0) == 42);
    });
  }
  Database again(file, kTwo);
  CHECK(count(again) == 1);
}

// fault: schema
TEST_CASE("a migration that fails changes nothing") {
  TemporaryDir dir;
  const fs::path file = dir.path / "a.db";
  {
    Database db(file, kOne);
    add(db, 1);
  }
  CHECK(mentions(refusal<InternalError>(file, kBroken), "GARBAGE"));
  Database db(file, kTwo);
  CHECK(count(db) == 1);
}

// fault: schema
TEST_CASE("a newer schema is refused and left alone") {
  TemporaryDir dir;
  const fs::path file = dir.path / "a.db";
  { Database db(file, kTwo); }
  CHECK(mentions(refusal<ConfigError>(file, kOne), "newer riverbox"));
  Database db(file, kTwo);
  CHECK(count(db) == 0);
}

// fault: schema
TEST_CASE("the database of another program is refused and left alone") {
  TemporaryDir dir;
  const fs::path file = dir.path / "a.db";
  { Database db(file, kOne); }
  {
    Database db(file, kOne);
    db.write([](Database::Connection& c) { c.prepare("PRAGMA user_version=0").run(); });
  }
  CHECK(mentions(refusal<ConfigError>(file), "belongs to another program"));
}

// fault: state-fails
TEST_CASE("damaged files say so and stay as they are") {
  TemporaryDir dir;
  const fs::path file = dir.path / "a.db";
  SUBCASE("no database at all") {
    std::ofstream(file) << std::string(8192, 'x');
    CHECK(mentions(refusal<BadData>(file), "is damaged"));
    CHECK(fs::file_size(file) == 8192);
  }
  SUBCASE("a page in the middle is overwritten") {
    {
      Database db(file, kOne);
      db.write([](Database::Connection& c) {
        for (int i = 0; i < 2000; ++i) c.prepare("INSERT INTO t (a, b) VALUES (?, ?)").bind(i).bind(std::string(100, 'y')).run();
      });
    }
    std::fstream out(file, std::ios::in | std::ios::out | std::ios::binary);
    out.seekp(4096);
    out << std::string(4096 * 4, '\xa5');
    out.close();
    CHECK(mentions(refusal<BadData>(file), "is damaged"));
  }
  SUBCASE("an empty file is a new database") {
    std::ofstream(file).close();
    Database db(file, kOne);
    CHECK(count(db) == 0);
  }
}

// fault: state-unusable
TEST_CASE("places where no database can be") {
  TemporaryDir dir;
  CHECK(mentions(refusal<ConfigError>(dir.path / "absent/a.db"), "mkdir -p"));
  CHECK(mentions(refusal<ConfigError>(dir.path), "not an ordinary file"));
  std::ofstream(dir.path / "file") << "x";
  CHECK_FALSE(refusal<ConfigError>(dir.path / "file/a.db") == "(no such error)");
  CHECK(mentions(refusal<ConfigError>("/proc/self/a.db"), "cannot keep the database"));
  if (::geteuid() != 0) {
    fs::permissions(dir.path, fs::perms(0500));
    CHECK(mentions(refusal<ConfigError>(dir.path / "a.db"), "not writable"));
    fs::permissions(dir.path, fs::perms(0700));
  }
}

TEST_CASE("many threads write and read at the same time") {
  TemporaryDir dir;
  Database db(dir.path / "a.db", kOne);
  constexpr int kThreads = 6, kEach = 20;
  std::atomic<int> failures{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&] {
      try {
        for (int i = 0; i < kEach; ++i) {
          add(db, i);
          count(db);
        }
      } catch (const std::exception&) {
        ++failures;
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK(failures == 0);
  CHECK(count(db) == kThreads * kEach);
}

// fault: state-fails
TEST_CASE("what was committed survives a kill, what was not is gone") {
  TemporaryDir dir;
  const fs::path file = dir.path / "a.db";
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    Database db(file, kOne);
    add(db, 1);
    db.write([&](Database::Connection& c) {
      c.prepare("INSERT INTO t (a) VALUES (2)").run();
      [[maybe_unused]] const ssize_t n = ::write(ready[1], "x", 1);
      for (;;) ::pause();
    });
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
  Database db(file, kOne);
  CHECK(count(db) == 1);
}
