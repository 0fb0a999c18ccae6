#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "os/atomic_file.hpp"
#include "os/fd.hpp"

using namespace riverbox;
using namespace riverbox::os;
namespace fs = std::filesystem;

namespace {

struct TemporaryDir {
  fs::path path = fs::temp_directory_path() / ("riverbox-files-" + random_hex(6));
  TemporaryDir() { fs::create_directories(path); }
  ~TemporaryDir() { fs::remove_all(path); }
  std::vector<std::string> names() const {
    std::vector<std::string> list;
    for (const auto& entry : fs::directory_iterator(path)) list.push_back(entry.path().filename().string());
    std::sort(list.begin(), list.end());
    return list;
  }
};

}  // namespace

TEST_CASE("files are read whole, also those whose size is not known before") {
  TemporaryDir dir;
  write_atomically(dir.path / "a", std::string(200'000, 'x'));
  CHECK(read_file(dir.path / "a").size() == 200'000);
  CHECK(read_file("/proc/self/stat").size() > 10);
  CHECK_THROWS_AS(read_file(dir.path / "a", 1000), BadData);
  CHECK_THROWS_AS(read_file(dir.path / "absent"), IoError);
  CHECK_THROWS_AS(read_file(dir.path), IoError);
}

TEST_CASE("an error of the system names the path") {
  try {
    open_read("/nonexistent/file");
    FAIL("no error");
  } catch (const IoError& error) {
    CHECK(error.error_number() == ENOENT);
    CHECK(std::string(error.what()).find("/nonexistent/file") != std::string::npos);
  }
  const UniqueFd full = open_at("/dev/full", O_WRONLY);
  CHECK_THROWS_AS(write_all(full.get(), "x", "/dev/full"), IoError);
}

TEST_CASE("pread_exact says when a file is too short") {
  TemporaryDir dir;
  write_atomically(dir.path / "a", "0123456789");
  const UniqueFd fd = open_read(dir.path / "a");
  CHECK(pread_exact(fd.get(), 4, 3, "a") == "3456");
  CHECK(pread_exact(fd.get(), 0, 99, "a").empty());
  CHECK_THROWS_AS(pread_exact(fd.get(), 4, 8, "a"), BadData);
}

TEST_CASE("the last lines of a file are found from its end") {
  TemporaryDir dir;
  auto tail = [&](const std::string& content, std::uint64_t lines) {
    write_atomically(dir.path / "log", content);
    const auto fd = open_read(dir.path / "log");
    return content.substr(last_lines_offset(fd.get(), content.size(), lines, "log"));
  };
  CHECK(tail("a\nb\nc\n", 2) == "b\nc\n");
  CHECK(tail("a\nb\nc", 2) == "b\nc");
  CHECK(tail("a\nb\nc\n", 3) == "a\nb\nc\n");
  CHECK(tail("a\nb\nc\n", 99) == "a\nb\nc\n");
  CHECK(tail("a\nb\n", 0) == "");
  CHECK(tail("", 5) == "");
  CHECK(tail("\n\n\n", 1) == "\n");
  CHECK(tail("\nno end", 1) == "no end");
  const std::string long_line(200'000, 'x');  // longer than what is read at once
  CHECK(tail("first\n" + long_line + "\nlast\n", 2) == long_line + "\nlast\n");
  const std::string piece(65535, 'x');  // line ends at the borders of what is read
  CHECK(tail(piece + "\n" + piece + "\n" + piece + "\n", 2) == piece + "\n" + piece + "\n");
  CHECK(tail(long_line, 1) == long_line);
  write_atomically(dir.path / "log", "short");
  CHECK_THROWS_AS(last_lines_offset(open_read(dir.path / "log").get(), 100, 1, "log"), BadData);
}

TEST_CASE("a file descriptor is closed once and moves") {
  UniqueFd a = open_read("/dev/null");
  const int number = a.get();
  UniqueFd b = std::move(a);
  CHECK_FALSE(a);
  CHECK(b.get() == number);
  b.reset();
  CHECK(::fcntl(number, F_GETFD) == -1);
  CHECK((::fcntl(open_read("/dev/null").get(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("a published file is complete, has its mode and leaves no temporary name") {
  TemporaryDir dir;
  const mode_t mask = ::umask(022);
  write_atomically(dir.path / "f", "one", 0600);
  write_atomically(dir.path / "f", "two", 0666);
  ::umask(mask);
  CHECK(read_file(dir.path / "f") == "two");
  CHECK((fs::status(dir.path / "f").permissions() & fs::perms::all) == fs::perms(0644));
  CHECK(dir.names() == std::vector<std::string>{"f"});
}

TEST_CASE("a file that is given up leaves nothing behind and the old one as it was") {
  TemporaryDir dir;
  write_atomically(dir.path / "f", "old");
  {
    PendingFile pending(dir.path / "f");
    write_all(pending.fd(), "new", "f");
    CHECK(PendingFile::is_temporary_name(pending.temporary_path().filename().string()));
    CHECK(pending.temporary_path().parent_path() == dir.path);
    CHECK(dir.names().size() == 2);
  }
  CHECK(dir.names() == std::vector<std::string>{"f"});
  CHECK(read_file(dir.path / "f") == "old");
}

TEST_CASE("a publish that fails leaves nothing behind") {
  TemporaryDir dir;
  fs::create_directories(dir.path / "taken/inside");
  {
    PendingFile pending(dir.path / "taken");
    CHECK_THROWS_AS(pending.publish(), IoError);  // a folder is in the way
  }
  CHECK(dir.names() == std::vector<std::string>{"taken"});
  CHECK_THROWS_AS(write_atomically(dir.path / "absent/x", ""), IoError);
}

// fault: share-reply-lost
TEST_CASE("a rename whose reply was lost counts as done") {
  TemporaryDir dir;
  PendingFile pending(dir.path / "f");
  write_all(pending.fd(), "data", "f");
  fs::rename(pending.temporary_path(), dir.path / "f");  // what the server did
  pending.publish();
  CHECK(read_file(dir.path / "f") == "data");

  PendingFile stolen(dir.path / "g");
  fs::remove(stolen.temporary_path());
  CHECK_THROWS_AS(stolen.publish(), IoError);
}

TEST_CASE("temporary names are recognised, also those of very long names") {
  TemporaryDir dir;
  const PendingFile pending(dir.path / std::string(255, 'n'));
  CHECK(PendingFile::is_temporary_name(pending.temporary_path().filename().string()));
  for (const char* name : {"", ".riverbox", ".riverbox-.part", "env-1700000000.tar", "x.part", ".nfs0001"}) CHECK_FALSE(PendingFile::is_temporary_name(name));
}

// fault: publish-killed
TEST_CASE("killed in the middle: only a temporary name remains") {
  TemporaryDir dir;
  write_atomically(dir.path / "f", "old");
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    PendingFile pending(dir.path / "f");
    write_all(pending.fd(), "half", "f");
    [[maybe_unused]] const ssize_t n = ::write(ready[1], "x", 1);
    for (;;) ::pause();
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
  CHECK(read_file(dir.path / "f") == "old");
  const auto names = dir.names();
  REQUIRE(names.size() == 2);
  CHECK(PendingFile::is_temporary_name(names[0]));
  CHECK(names[1] == "f");
}
