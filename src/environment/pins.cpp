#include "environment/pins.hpp"

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/time.hpp"
#include "os/atomic_file.hpp"
#include "os/fd.hpp"

namespace riverbox::environment {
namespace {

constexpr int kPinFormat = 1;

}  // namespace

os::Place Pins::place_of(const std::string& tarball) const {
  const os::Place index = share_.index_place(tarball);
  return index.parent() / std::filesystem::path(index.name()).replace_extension(".pin");
}

bool Pins::is_pinned(const Version& version) const { return os::stat_beneath(place_of(version.tarball)).has_value(); }

bool Pins::pin(const Version& version) const {
  if (is_pinned(version)) return false;
  const os::Place place = place_of(version.tarball);
  os::make_folders_beneath(place.parent());
  nlohmann::ordered_json json;
  json["format"] = kPinFormat;
  json["tarball"] = version.tarball;
  json["pinned"] = to_rfc3339(wall_now());
  os::write_atomically(place, json.dump(1) + "\n");
  return true;
}

bool Pins::unpin(const Version& version) const {
  const os::Place place = place_of(version.tarball);
  if (!os::unlink_beneath(place)) return false;
  os::fsync_folder(os::open_folder(place.parent()).get(), place.parent().path());
  return true;
}

}  // namespace riverbox::environment
