#include "runner/vps_publisher.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/time.hpp"
#include "environment/packaging.hpp"

namespace riverbox::runner {
namespace {

using nlohmann::json;

// The layers and their history are the VPS's; how programs are started in them is its first image's, as it was before the VPS was made.
std::string config_as_of(const json& base, const std::string& committed) {
  json config = json::parse(committed);
  config["config"] = base.at("config");
  for (const char* of_container : {"container", "container_config"}) config.erase(of_container);  // engines before 25
  return config.dump(-1, ' ', false, json::error_handler_t::replace);
}

json config_of_base(docker::Engine& engine, const std::string& image_id) {
  try {
    return engine.image_config(image_id);
  } catch (const docker::ImageNotFoundError&) {
    throw Conflict("the image that the VPS was made of is not in Docker any more, so nobody can tell what in its configuration is the VPS's own", "Begin it anew: riverbox vps restart VPS --fresh.");
  }
}

}  // namespace

std::string VpsPublisher::write(Snapshots& snapshots, TaskId vps, const environment::EnvironmentName& name, const Progress& progress, const std::function<void()>& committed) {
  share_.prepare();
  progress({"committing", 0, 0});
  const Snapshots::Passing passing(snapshots, vps);
  committed();
  const docker::Image& image = passing.image();
  const json base = config_of_base(engine_, passing.base());
  const std::string hidden = fmt::format(".riverbox-{}.vps-{}.part", environment::Share::file_name(name, unix_seconds(wall_now())), vps.str());
  environment::Packager packager(engine_, share_, image, naming_.environment_image(name.str()),
                                 {.progress = [&](std::uint64_t bytes) { progress({"writing", bytes, std::max(image.size_bytes, bytes)}); },
                                  .cancel = &snapshots.stopping(),
                                  .compression = compression_,
                                  .edit_config = [&](const std::string& config) { return config_as_of(base, config); }});
  packager.write(share_.place_of(hidden), share_.newest(name))->publish();
  return hidden;
}

}  // namespace riverbox::runner
