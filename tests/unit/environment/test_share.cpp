#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <ctime>
#include <fstream>

#include "base/error.hpp"
#include "environment/archive.hpp"
#include "environment/share.hpp"
#include "image_builder.hpp"

using namespace riverbox;
using namespace riverbox::environment;
using testing::TemporaryFolder;

namespace {

std::string name_in(std::string_view file) {
  const auto found = Share::parse_file_name(file);
  return found ? fmt::format("{} {}", found->first.str(), found->second) : "no";
}

}  // namespace

TEST_CASE("file names: the last number is the version") {
  CHECK(name_in("env-1700000000.tar") == "env 1700000000");
  CHECK(name_in("a-007.tar") == "a 7");
  CHECK(name_in("x-1700000000-1700000001.tar") == "x-1700000000 1700000001");
  CHECK(name_in("con-123.tar") == "con 123");
  CHECK(name_in("a-9223372036854775807.tar") == "a 9223372036854775807");
}

TEST_CASE("file names that are not ours") {
  for (const char* file : {"a-9223372036854775808.tar", "a-99999999999999999999999.tar", "MyEnv-1.tar", "env.tar", "env-.tar", "-1.tar", "env-1.tar.gz",
                           "env-1", ".riverbox-env-1.tar.12.ab.part", "env-x.tar", "env-+1.tar", "env- 1.tar", ".tar", "a..b-1.tar", ".nfs0001-1.tar", ""}) {
    CAPTURE(file);
    CHECK(name_in(file) == "no");
  }
}

TEST_CASE("names and versions make the round trip") {
  const auto name = EnvironmentName::parse("x-1700000000");
  CHECK(name_in(Share::file_name(name, 42)) == "x-1700000000 42");
}

TEST_CASE("a listing groups, sorts and ignores") {
  TemporaryFolder folder;
  for (const char* file : {"b-2.tar", "b-10.tar", "b-9.tar", "a-007.tar", "MyEnv-5.tar", "notes.txt", ".riverbox-b-11.tar.1.aa.part"}) folder.write(file, "x");
  folder.write("b-99.tar", "");  // empty
  std::filesystem::create_directory(folder.path() / "b-100.tar");
  std::filesystem::create_symlink(folder.path() / "nowhere", folder.path() / "b-101.tar");
  std::filesystem::create_symlink(folder.path() / "b-10.tar", folder.path() / "b-103.tar");
  REQUIRE(mkfifo((folder.path() / "b-102.tar").c_str(), 0600) == 0);
  const Share share(folder.path());
  const auto listing = share.list();
  REQUIRE(listing.size() == 2);
  const auto& b = listing.at(EnvironmentName::parse("b"));
  REQUIRE(b.size() == 3);
  CHECK(b[0].tarball == "b-10.tar");
  CHECK(b[1].tarball == "b-9.tar");
  CHECK(b[2].tarball == "b-2.tar");
  CHECK(b[0].size_bytes == 1);
  CHECK(b[0].image_id == "");
  const auto& a = listing.at(EnvironmentName::parse("a"));
  CHECK(a[0].tarball == "a-007.tar");  // the real file name is kept
  CHECK(a[0].timestamp == 7);
  CHECK(share.newest(EnvironmentName::parse("b"))->tarball == "b-10.tar");
  CHECK_FALSE(share.newest(EnvironmentName::parse("c")));
}

TEST_CASE("versions of one name do not mix with names that begin alike") {
  TemporaryFolder folder;
  for (const char* file : {"x-1.tar", "x-1700000000-5.tar", "xy-9.tar"}) folder.write(file, "x");
  const Share share(folder.path());
  REQUIRE(share.versions(EnvironmentName::parse("x")).size() == 1);
  CHECK(share.versions(EnvironmentName::parse("x"))[0].tarball == "x-1.tar");
  CHECK(share.versions(EnvironmentName::parse("x-1700000000"))[0].timestamp == 5);
}

TEST_CASE("image IDs come from the indexes") {
  TemporaryFolder folder;
  const auto tar = folder.write("env-5.tar", testing::Image{}.save());
  folder.write("env-6.tar", testing::Image{}.save() + std::string(512, '\0'));
  const Share share(folder.path());
  const Archive archive = read_archive(tar);
  write_index(share.index_place("env-5.tar"), archive);
  write_index(share.index_place("env-6.tar"), archive);  // of a file of another size
  const auto versions = share.list().begin()->second;
  CHECK(versions[1].image_id == archive.config_digest);
  CHECK(versions[0].image_id == "");
  CHECK(share.list(false).begin()->second[1].image_id == "");
}

TEST_CASE("a share at rest is listed once, until a name comes or goes") {
  TemporaryFolder folder;
  const auto tar = folder.write("env-5.tar", testing::Image{}.save());
  const Share share(folder.path());
  write_index(share.index_place("env-5.tar"), read_archive(tar));
  const auto make_old = [&] {
    const timespec long_ago[2] = {{1'700'000'000, 0}, {1'700'000'000, 0}};
    for (const auto& path : {tar, folder.path() / ".riverbox", folder.path()}) REQUIRE(utimensat(AT_FDCWD, path.c_str(), long_ago, 0) == 0);
  };
  ListingCache cache;
  const auto first = share.list(cache);
  CHECK(share.list(cache) != first);  // just written: it may still grow
  make_old();
  const auto at_rest = share.list(cache);
  CHECK(share.list(cache) == at_rest);
  CHECK(at_rest->begin()->second.at(0).image_id == read_archive(tar).config_digest);
  folder.write("env-6.tar", testing::Image{}.save());
  CHECK(share.list(cache)->begin()->second.size() == 2);
  make_old();
  std::filesystem::remove(folder.path() / "env-6.tar");
  make_old();
  share.list(cache);
  std::filesystem::remove(share.index_path("env-5.tar"));  // changes only the folder of the indexes
  CHECK(share.list(cache)->begin()->second.at(0).image_id == "");
}

TEST_CASE("a missing share is named, with what to do") {
  TemporaryFolder folder;
  const Share share(folder.path() / "gone" / "hakuriver-containers");
  CHECK_THROWS_AS(share.list(), NotFound);
  CHECK(share.versions(EnvironmentName::parse("a")).empty());
  try {
    share.prepare();
    FAIL("prepared a folder on a share that is not mounted");
  } catch (const IoError& error) {
    CHECK(std::string(error.what()).find("gone") != std::string::npos);
    CHECK(error.next().find("shared_dir") != std::string::npos);
  }
}

TEST_CASE("prepare makes the folder, also twice") {
  TemporaryFolder folder;
  const Share share(folder.path() / "hakuriver-containers");
  share.prepare();
  share.prepare();
  CHECK(share.list().empty());
  const Share blocked(folder.write("file", "x"));
  CHECK_THROWS_AS(blocked.prepare(), IoError);
}

TEST_CASE("remove takes the archive and its index, and minds no absence") {
  TemporaryFolder folder;
  folder.write("env-5.tar", "x");
  folder.write(".riverbox/env-5.json", "{}");
  const Share share(folder.path());
  const Version version = *share.newest(EnvironmentName::parse("env"));
  share.remove(version);
  CHECK_FALSE(std::filesystem::exists(folder.path() / "env-5.tar"));
  CHECK_FALSE(std::filesystem::exists(folder.path() / ".riverbox/env-5.json"));
  share.remove(version);
}

// fault: place-taken
TEST_CASE("only old temporaries are removed") {
  TemporaryFolder folder;
  const auto old = folder.write(".riverbox-env-1.tar.77.abcdef.part", "half");
  const auto fresh = folder.write(".riverbox-env-2.tar.77.abcdef.part", "half");
  const auto foreign = folder.write(".other.part", "x");
  const timespec hour_ago[2] = {{time(nullptr) - 3600, 0}, {time(nullptr) - 3600, 0}};
  utimensat(AT_FDCWD, old.c_str(), hour_ago, 0);
  utimensat(AT_FDCWD, foreign.c_str(), hour_ago, 0);
  Share(folder.path()).remove_stale_temporaries(600);
  CHECK_FALSE(std::filesystem::exists(old));
  CHECK(std::filesystem::exists(fresh));
  CHECK(std::filesystem::exists(foreign));
}

// fault: share-crowded
TEST_CASE("ten thousand files are listed at once") {
  TemporaryFolder folder;
  for (int i = 0; i < 10'000; ++i) std::ofstream(folder.path() / fmt::format("env{}-{}.tar", i % 500, 1'700'000'000 + i)) << 'x';
  const Share share(folder.path());
  share.list();
  const std::clock_t begin = std::clock();  // processor time: neighbours do not count
  const auto listing = share.list();
  const auto elapsed = (std::clock() - begin) * 1000 / CLOCKS_PER_SEC;
  CHECK(listing.size() == 500);
  MESSAGE("10,000 files: ", elapsed, " ms");
  CHECK(elapsed < 3000);  // 50 in a release build; sanitizers on a slow machine cost the rest, a second pass over the folder would cost minutes
}
