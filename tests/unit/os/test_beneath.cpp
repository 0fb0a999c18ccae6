#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "base/error.hpp"
#include "os/atomic_file.hpp"
#include "os/beneath.hpp"

using namespace riverbox;
using namespace riverbox::os;

namespace {

namespace fs = std::filesystem;

// A share with what an attacker may plant, and what lies outside of it.
struct PlantedShare {
  PlantedShare() {
    char name[] = "/tmp/riverbox-beneath.XXXXXX";
    top = mkdtemp(name);
    fs::create_directories(top / "real/folder/deep");
    fs::create_directories(top / "outside/folder");
    std::ofstream(top / "outside/shadow") << "root:secret";
    std::ofstream(top / "outside/folder/file") << "outside";
    std::ofstream(top / "real/folder/file") << "inside";
    fs::create_symlink("real", top / "share");  // the administrator's own link
    fs::create_symlink(top / "outside/shadow", top / "real/file-link");
    fs::create_symlink(top / "outside/folder", top / "real/folder-link");
    fs::create_symlink("folder", top / "real/inner-link");  // leads nowhere else, and is a link all the same
    fs::create_symlink("../../outside/shadow", top / "real/folder/up-link");
    REQUIRE(mkfifo((top / "real/fifo").c_str(), 0600) == 0);
  }
  ~PlantedShare() {
    std::error_code ignored;
    fs::remove_all(top, ignored);
  }
  Place at(const fs::path& below) const { return {top / "share", below}; }
  fs::path top;
};

int error_of(const Place& place, int flags) {
  try {
    open_beneath(place, flags);
    return 0;
  } catch (const IoError& error) {
    return error.error_number();
  }
}

std::string content(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

TEST_CASE("beneath a root no link is followed, with openat2 and without") {
  const PlantedShare share;
  for (const bool by_steps : {false, true}) {
    walk_step_by_step(by_steps);
    CAPTURE(by_steps);
    CHECK(read_beneath(share.at("folder/file"), 100) == "inside");
    for (const char* link : {"file-link", "folder-link/file", "inner-link/file", "folder/up-link"}) {
      CAPTURE(link);
      CHECK(error_of(share.at(link), O_RDONLY) == ELOOP);
      CHECK(error_of(share.at(link), O_WRONLY | O_CREAT | O_TRUNC) == ELOOP);
    }
    CHECK(error_of(share.at("folder-link"), O_RDONLY | O_DIRECTORY) != 0);
    for (const char* climbing : {"../outside/shadow", "folder/../../outside/shadow", "..", "/etc/passwd"}) {
      CAPTURE(climbing);
      CHECK(error_of(share.at(climbing), O_RDONLY) == EXDEV);
    }
    CHECK(error_of(share.at("folder/absent"), O_RDONLY) == ENOENT);
    CHECK(error_of(share.at("folder/file/below"), O_RDONLY) == ENOTDIR);
    CHECK_THROWS_AS(open_beneath(share.at("fifo"), O_RDONLY), Conflict);
    CHECK_THROWS_AS(open_beneath(share.at("fifo"), O_WRONLY), Conflict);
    CHECK_THROWS_AS(open_beneath(share.at("folder"), O_RDONLY), Conflict);
    CHECK_THROWS_AS(open_beneath({"/dev", "zero"}, O_RDONLY), Conflict);

    CHECK(S_ISLNK(stat_beneath(share.at("file-link"))->st_mode));
    CHECK(S_ISDIR(stat_beneath(share.at(""))->st_mode));
    CHECK_FALSE(stat_beneath(share.at("folder/absent")));
    CHECK_THROWS_AS(stat_beneath(share.at("folder-link/file")), IoError);
    CHECK_THROWS_AS(unlink_beneath(share.at("folder-link/file")), IoError);
    CHECK_FALSE(unlink_beneath(share.at("folder/absent")));
    CHECK_FALSE(remove_folder_beneath(share.at("folder-link/folder")));
    CHECK_THROWS_AS(make_folders_beneath(share.at("folder-link/new")), IoError);
    CHECK_THROWS_AS(make_folders_beneath(share.at("folder/../../new")), IoError);
    CHECK_THROWS_AS(for_each_name(share.at("folder-link"), [](int, const char*, unsigned char) {}), IoError);
    CHECK_THROWS_AS(write_atomically(share.at("folder-link/new"), "x"), IoError);
    CHECK(fs::exists(share.top / "outside/folder/file"));
    CHECK_FALSE(fs::exists(share.top / "outside/folder/new"));
    CHECK(content(share.top / "outside/shadow") == "root:secret");
  }
  walk_step_by_step(false);
}

TEST_CASE("what is in the place of a link is the link itself") {
  const PlantedShare share;
  write_atomically(share.at("file-link"), "new");
  CHECK(content(share.top / "real/file-link") == "new");
  CHECK(content(share.top / "outside/shadow") == "root:secret");
  CHECK(unlink_beneath(share.at("folder-link")));
  CHECK(fs::exists(share.top / "outside/folder/file"));
}

TEST_CASE("folders are made, listed and removed") {
  const PlantedShare share;
  for (const bool by_steps : {false, true}) {
    walk_step_by_step(by_steps);
    make_folders_beneath(share.at("a/b/c"));
    make_folders_beneath(share.at("a/b/c"));
    open_beneath(share.at("a/b/c/file"), O_WRONLY | O_CREAT, 0640);
    std::set<std::string> names;
    CHECK(for_each_name(share.at("a/b/c"), [&](int, const char* name, unsigned char) { names.insert(name); }));
    CHECK(names == std::set<std::string>{".", "..", "file"});
    CHECK_FALSE(for_each_name(share.at("a/none"), [](int, const char*, unsigned char) {}));
    CHECK_FALSE(remove_folder_beneath(share.at("a/b/c")));  // not empty
    CHECK(unlink_beneath(share.at("a/b/c/file")));
    CHECK(remove_folder_beneath(share.at("a/b/c")));
  }
  walk_step_by_step(false);
}

TEST_CASE("a folder whose name is exchanged meanwhile takes a pending file nowhere else") {
  const PlantedShare share;
  {
    PendingFile pending(share.at("folder/new"));
    write_all(pending.fd(), "data", "new");
    fs::rename(share.top / "real/folder", share.top / "real/moved");
    fs::create_symlink(share.top / "outside/folder", share.top / "real/folder");
    pending.publish();
  }
  CHECK(content(share.top / "real/moved/new") == "data");
  CHECK_FALSE(fs::exists(share.top / "outside/folder/new"));
}
