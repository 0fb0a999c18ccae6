#include "environment/squash.hpp"

#include <fmt/format.h>

#include "base/json.hpp"
#include "base/log.hpp"
#include "base/time.hpp"
#include "environment/archive_builder.hpp"
#include "environment/load.hpp"
#include "environment/thin.hpp"

namespace riverbox::environment {
namespace {

class FileSystem final : public LayerSource {
public:
  FileSystem(docker::Engine& engine, const std::string& container, const CancelToken& cancel) : engine_(engine), container_(container), cancel_(cancel) {}
  std::string config() override { return {}; }
  void write_layer(size_t, ByteSink& sink) override {
    engine_.export_container(container_, [&](std::string_view bytes) { sink.write(bytes); }, cancel_);
  }

private:
  docker::Engine& engine_;
  const std::string& container_;
  const CancelToken& cancel_;
};

std::string squashed_config(docker::Engine& engine, const docker::Image& committed, const docker::Naming::Labels& labels, const std::string& diff_id) {
  nlohmann::json config = engine.image_config(committed.id);
  const std::string created = to_rfc3339(committed.created);
  config["created"] = created;
  if (!config["config"]["Labels"].is_object()) config["config"]["Labels"] = nlohmann::json::object();
  for (const auto& [key, value] : labels) config["config"]["Labels"][key] = value;
  config["rootfs"] = {{"type", "layers"}, {"diff_ids", {diff_id}}};
  config["history"] = nlohmann::json::array(
      {{{"created", created}, {"created_by", fmt::format("riverbox: {} layers squashed", committed.diff_ids.size())}}});
  return config.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// Into the daemon that it came from, for the container to be made of it. Without a tag: one that a container needs could not be removed.
docker::Image load(docker::Engine& engine, const Archive& archive, const std::string& config, int fd, const CancelToken& cancel) {
  Archive untagged = archive;
  untagged.manifest_digest.clear();  // nothing but manifest.json may name it
  const auto stream = image_stream(untagged, {config, {}}, ship_all(untagged), "", fd);
  const docker::LoadResult result = engine.load_image(stream, [](std::uint64_t) {}, cancel);
  for (const std::string& loaded : result.loaded) {
    if (auto image = engine.find_image(loaded); image && is_image_of(*image, archive.identity)) return std::move(*image);
  }
  throw docker::ImageImportError(fmt::format("the Docker Engine did not load the squashed image: {}", result.error.empty() ? "it is not there afterwards" : result.error),
                                 "Check the free space of Docker's data root and the engine's log.");
}

}  // namespace

Squashed squash(docker::Engine& engine, const std::string& container, const docker::Image& committed, const docker::Naming::Labels& labels, const std::string& tag,
                const os::Place& final_place, Compression compression, const CancelToken& cancel, const std::function<void(std::uint64_t size_bytes)>& progress) {
  Squashed squashed{std::make_unique<os::PendingFile>(final_place), {}, {}};
  ArchiveBuilder builder(squashed.file->fd(), squashed.file->temporary_path(), compression, [&](std::uint64_t size_bytes) {
    cancel.check("squashing an environment");
    progress(size_bytes);
  });
  FileSystem source(engine, container, cancel);
  const std::string diff_id = builder.add_new_layer(source, 0);
  const std::string config = squashed_config(engine, committed, labels, diff_id);
  squashed.archive = builder.finish(config, {diff_id}, tag);
  squashed.image = load(engine, squashed.archive, config, squashed.file->fd(), cancel);
  log::info("environment", "squashed an environment", {{"container", container}, {"layers", std::to_string(committed.diff_ids.size())},
                                                       {"bytes", std::to_string(squashed.archive.size_bytes)}});
  return squashed;
}

}  // namespace riverbox::environment
