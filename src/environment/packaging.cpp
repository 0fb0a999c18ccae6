#include "environment/packaging.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.hpp"
#include "base/log.hpp"
#include "environment/archive_builder.hpp"
#include "environment/layer_source.hpp"
#include "environment/saved_image.hpp"

namespace riverbox::environment {

Packager::Packager(docker::Engine& engine, const Share& share, const docker::Image& image, std::string tag, Options options)
    : engine_(engine), share_(share), image_(image), tag_(std::move(tag)), options_(std::move(options)) {}

std::unique_ptr<os::PendingFile> Packager::write(const os::Place& final_place, const std::optional<Version>& older) {
  auto file = from_layers(final_place, older);
  if (!file) {
    SavedImage saved(engine_, image_.id, final_place, *options_.cancel, options_.progress);
    check_is_the_image(saved.archive().config_digest, saved.archive().identity);
    packaging_.way = saved.readable() ? "save" : "engine";
    if (saved.readable()) {
      file = std::make_unique<os::PendingFile>(final_place);
      build(*file, saved, older);
    } else {
      if (options_.edit_config) throw docker::ImageExportError("the Docker Engine saved '" + tag_ + "' with layers in a compression that cannot be read here");
      archive_ = saved.archive();
      file = saved.release_file();
    }
  }
  packaging_.layers = archive_.layers.size();
  log::info("environment", "wrote an archive", {{"image", image_.id.substr(0, 19)}, {"way", packaging_.way}, {"why", packaging_.why},
                                             {"layers", std::to_string(packaging_.layers)}, {"layers_taken_over", std::to_string(packaging_.layers_taken_over)},
                                             {"bytes", std::to_string(archive_.size_bytes)}, {"bytes_taken_over", std::to_string(packaging_.bytes_taken_over)}});
  return file;
}

// Null: `why` says what was in the way.
std::unique_ptr<os::PendingFile> Packager::from_layers(const os::Place& final_place, const std::optional<Version>& older) {
  const auto source = open_overlay_layers(engine_, image_, packaging_.why);
  if (!source) return nullptr;
  auto file = std::make_unique<os::PendingFile>(final_place);
  try {
    build(*file, *source, older);
    packaging_.way = "layers";
    return file;
  } catch (const UnusableSource& error) {
    packaging_ = {};
    packaging_.why = error.fact();
    log::warning("environment", "the layers could not be read from the daemon's files, the engine is asked for them", {{"reason", error.fact()}});
    return nullptr;
  }
}

void Packager::build(os::PendingFile& file, LayerSource& source, const std::optional<Version>& older) {
  const std::string config = source.config();
  ArchiveBuilder builder(file.fd(), file.temporary_path(), options_.compression, [&](std::uint64_t size_bytes) {
    options_.cancel->check("packaging an environment");
    options_.progress(size_bytes);
  });
  if (older) {
    try {
      const os::Place place = share_.place_of(older->tarball);
      packaging_.layers_taken_over = builder.take_over(place, open_archive(place, share_.index_place(older->tarball)), image_.diff_ids);
      packaging_.bytes_taken_over = builder.size_bytes();
    } catch (const Error& error) {  // an older version that is damaged or cannot be read is no reason not to make a good one
      options_.cancel->check("packaging an environment");
      log::warning("environment", "nothing is taken over from the older version", {{"archive", older->tarball}, {"reason", error.fact()}});
    }
  }
  for (size_t i = packaging_.layers_taken_over; i < image_.diff_ids.size(); ++i) builder.add_layer(image_.diff_ids[i], source, i);
  archive_ = builder.finish(options_.edit_config ? options_.edit_config(config) : config, image_.diff_ids, tag_);
  if (!options_.edit_config) check_is_the_image(archive_.config_digest, archive_.identity);  // each layer has been compared
}

// The daemon says 200 whatever it saves, and somebody may have moved the tag.
void Packager::check_is_the_image(const std::string& config_digest, const Identity& identity) const {
  const auto refuse = [&](const std::string& what) {
    throw docker::ImageExportError(fmt::format("the Docker Engine saved another image than the one committed for '{}': {}", tag_, what),
                                   "Try again; nothing was published.");
  };
  if (config_digest == image_.id) return;
  // In a containerd store an image's Id is the digest of a manifest: there the layers and the date have to do.
  if (!engine_.containerd_store()) refuse(fmt::format("its ID is {}, not {}", config_digest, image_.id));
  if (identity != Identity{image_.diff_ids, image_.created}) refuse("its layers or its date differ");
}

}  // namespace riverbox::environment
