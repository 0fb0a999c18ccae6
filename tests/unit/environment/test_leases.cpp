#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/error.hpp"
#include "environment/holdings.hpp"
#include "environment/leases.hpp"
#include "environment/republish.hpp"
#include "image_builder.hpp"
#include "os/process.hpp"

using namespace riverbox;
using namespace riverbox::environment;
using testing::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

void age(const fs::path& path, int seconds) {
  struct stat st {};
  REQUIRE(::stat(path.c_str(), &st) == 0);
  const timespec times[2] = {{st.st_mtime - seconds, 0}, {st.st_mtime - seconds, 0}};
  REQUIRE(::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

std::string image_of(const std::string& layer) { return testing::Image{.layers = {layer}}.save(); }

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> out;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) out.push_back(entry.path());
  return out;
}

}  // namespace

TEST_CASE("a lease is held while it lives, and names its holder") {
  TemporaryFolder folder;
  const Share share(folder.path());
  CHECK(lease_holder(share, "a-1.tar") == std::nullopt);  // not even the folder is there
  {
    const Lease lease(share, "a-1.tar");
    CHECK(lease_holder(share, "a-1.tar") == os::host_name() + "-" + std::to_string(::getpid()));
    CHECK(lease_holder(share, "a-1.ta") == std::nullopt);
    CHECK(lease_holder(share, "a-2.tar") == std::nullopt);
    const Lease second(share, "a-1.tar");
  }
  CHECK(lease_holder(share, "a-1.tar") == std::nullopt);
  CHECK(files_in(folder.path() / ".riverbox/leases").empty());
}

// fault: publish-while-read
TEST_CASE("a lease that nobody renews expires, and is removed by whoever asks") {
  TemporaryFolder folder;
  const Share share(folder.path());
  const Lease lease(share, "a-1.tar");
  const auto file = files_in(folder.path() / ".riverbox/leases").at(0);
  age(file, 14 * 60);
  CHECK(lease_holder(share, "a-1.tar").has_value());
  age(file, 2 * 60);
  CHECK(lease_holder(share, "a-1.tar") == std::nullopt);
  CHECK_FALSE(fs::exists(file));
}

TEST_CASE("a share that takes no files gives no lease, and no error") {
  const Share share("/proc/self");
  Lease lease(share, "a-1.tar");
  lease.renew();
  CHECK(lease_holder(share, "a-1.tar") == std::nullopt);
}

TEST_CASE("an older version becomes the newest one without being copied") {
  TemporaryFolder folder;
  const Share share(folder.path());
  const auto name = EnvironmentName::parse("env");
  const std::int64_t future = unix_seconds(wall_now()) + 1000;
  const auto old_path = folder.write("env-1700000000.tar", image_of("one"));
  folder.write("env-" + std::to_string(future) + ".tar", image_of("two"));
  const auto versions = share.versions(name);
  const Version again = republish(share, name, versions.at(1), {}, {});
  CHECK(again.timestamp == future + 1);
  CHECK(share.newest(name)->tarball == again.tarball);
  CHECK(fs::equivalent(share.path_of(again.tarball), old_path));
  CHECK(open_archive(share.path_of(again.tarball), share.index_path(again.tarball)).identity == read_archive(old_path).identity);
  share.remove(versions.at(1));
  CHECK(read_archive(share.path_of(again.tarball)).layers.size() == 1);
}

TEST_CASE("what is damaged or gone does not become the newest version") {
  TemporaryFolder folder;
  const Share share(folder.path());
  const auto name = EnvironmentName::parse("env");
  const auto path = folder.write("env-1700000000.tar", image_of("one"));
  const Version version = share.versions(name).at(0);
  fs::resize_file(path, 1000);
  CHECK_THROWS_AS(republish(share, name, version, {}, {}), BadData);
  fs::remove(path);
  CHECK_THROWS_AS(republish(share, name, version, {}, {}), IoError);
  CHECK(share.versions(name).empty());
}

TEST_CASE("a fingerprint is of layers, their order and the date") {
  const Identity one{{"sha256:aa", "sha256:bb"}, parse_rfc3339("2026-11-21T23:10:12.71186329Z")};
  Identity other = one;
  CHECK(fingerprint(one) == fingerprint(other));
  CHECK(fingerprint(one).size() == 64);
  std::swap(other.diff_ids[0], other.diff_ids[1]);
  CHECK(fingerprint(one) != fingerprint(other));
  other = one;
  other.created += std::chrono::nanoseconds(1);
  CHECK(fingerprint(one) != fingerprint(other));
}
