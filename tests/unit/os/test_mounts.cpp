#include <doctest/doctest.h>

#include <string>

#include "os/mounts.hpp"

using namespace riverbox::os;

namespace {

constexpr const char* kMountinfo =
    "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro\n"
    "40 22 0:35 / /mnt/share rw,relatime shared:20 master:3 - nfs4 nas:/export/lab rw,vers=4.2,rsize=1048576,namlen=255,soft,noac,acdirmax=600,proto=tcp,timeo=600\n"
    "41 22 0:36 / /mnt/with\\040blank\\134s rw - fuse.sshfs me@nas:/home ro,user_id=0\n"
    "42 40 0:37 / /mnt/share/sub rw propagate_from:2 - tmpfs none rw,size=2048k\n"
    "43 22 0:38 / /dev/fuseblk rw - fuseblk /dev/sdb1 rw\n"
    "damaged\n"
    "44 22 0:39 / /short rw - ext4\n";

const Mount& at(const std::vector<Mount>& mounts, const char* path) {
  const Mount* found = mount_of(mounts, path);
  REQUIRE(found);
  return *found;
}

}  // namespace

TEST_CASE("what is mounted where, and how") {
  const auto mounts = parse_mountinfo(kMountinfo);
  REQUIRE(mounts.size() == 5);
  const Mount& share = at(mounts, "/mnt/share/hakuriver-containers");
  CHECK(share.point == "/mnt/share");
  CHECK(share.type == "nfs4");
  CHECK(share.source == "nas:/export/lab");
  CHECK(share.has("soft"));
  CHECK(share.has("noac"));
  CHECK(share.has("relatime"));
  CHECK_FALSE(share.has("hard"));
  CHECK_FALSE(share.has("acdirmax"));
  CHECK(share.value("acdirmax") == "600");
  CHECK_FALSE(share.value("acdir").has_value());
  CHECK(share.is_network());
  CHECK(at(mounts, "/mnt/share/sub/x").type == "tmpfs");
  CHECK(at(mounts, "/mnt/share2").point == "/");  // no part of a name
  CHECK(at(mounts, "/mnt/share/../x").point == "/");
  CHECK(at(mounts, "/mnt/with blank\\s").type == "fuse.sshfs");
  CHECK_FALSE(at(mounts, "/").is_network());
  CHECK_FALSE(at(mounts, "/dev/fuseblk").is_network());  // a disk
}

TEST_CASE("of two mounts at one place the later one is seen; without any there is none") {
  const auto mounts = parse_mountinfo("1 0 0:1 / /a rw - ext4 x rw\n2 1 0:2 / /a rw - nfs y rw\n");
  CHECK(at(mounts, "/a/b").type == "nfs");
  CHECK(mount_of(mounts, "/b") == nullptr);
  CHECK(mount_of({}, "/") == nullptr);
}

TEST_CASE("the mounts of this machine") { CHECK(mount_of(mounts(), "/proc/self")->type == "proc"); }
