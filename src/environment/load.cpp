#include "environment/load.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/sha256.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"
#include "environment/layer_bytes.hpp"

namespace riverbox::environment {
namespace {

constexpr const char* kArrival = "loading-";  // and the second, and something random
constexpr std::int64_t kAbandonedSeconds = 3600;

std::string short_digest(const std::string& digest) { return Digest::is_valid(digest) ? Digest::parse(digest).short_hex() : printable(digest, 100); }

std::string file_name(const ArchiveFile& file) { return file.path().filename().string(); }

// Which fact about the image is not what the archive promised; for the error message.
std::string difference(const docker::Image& image, const Identity& wanted) {
  if (image.diff_ids.size() != wanted.diff_ids.size()) {
    return fmt::format("it has {} layers, the archive {}", image.diff_ids.size(), wanted.diff_ids.size());
  }
  for (size_t i = 0; i < image.diff_ids.size(); ++i) {
    if (image.diff_ids[i] == wanted.diff_ids[i]) continue;
    return fmt::format("layer {} is {}, in the archive it is {}", i + 1, short_digest(image.diff_ids[i]), short_digest(wanted.diff_ids[i]));
  }
  return fmt::format("it was created {}, in the archive {}", to_rfc3339(image.created), to_rfc3339(wanted.created));
}

// Neither a second try nor a look at the archive would help.
bool is_full_disk(const docker::DockerError& error) { return error.fact().find("no space left on device") != std::string::npos; }

// The layer that the engine speaks of, by its digest or by the name of its file.
std::optional<std::string> layer_in(const std::string& words, const Archive& archive) {
  const std::vector<std::string> names = names_in_stream(archive);
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string hex = archive.layers[i].diff_id.substr(7);
    if (words.find(hex) == std::string::npos && words.find(names[i]) == std::string::npos) continue;
    return fmt::format("layer {} of {} ({})", i + 1, names.size(), short_digest(archive.layers[i].diff_id));
  }
  return std::nullopt;
}

// The engine's words rarely name the layer: then the archive is read through for one that is not what it should be.
std::string reason_of(const docker::DockerError& error, const ArchiveFile& file, const CancelToken& cancel) {
  if (is_full_disk(error)) return error.fact();
  if (const auto layer = layer_in(error.fact(), file.archive())) return *layer + ": " + error.fact();
  if (!file.is_complete_tar()) return error.fact();
  try {
    verify_archive(file.place(), cancel);
  } catch (const BadData& damage) {
    return damage.fact();
  } catch (const IoError&) {
  }
  return error.fact();
}

// gzip is unpacked here once before the engine gets it: what a layer unpacks to is known only then, and an engine that finds out has filled its disk with it.
void check_packed_layers(const ArchiveFile& file, const Shipment& shipment, const CancelToken& cancel, const SyncCallback& progress) {
  constexpr size_t kPiece = 1u << 20;
  std::uint64_t done_bytes = 0;
  for (const size_t i : shipment.layers) {
    const Layer& layer = file.archive().layers[i];
    if (!layer.compressed || !is_gzip(file.fd(), file.path(), layer)) continue;  // the engine that knows another compression checks it
    progress({"checking packed layers", done_bytes, shipment.layer_bytes});
    Sha256 sha;
    try {
      const auto bytes = open_layer(file.fd(), file.path(), layer);
      for (std::string piece = bytes->read(kPiece); !piece.empty(); piece = bytes->read(kPiece)) {
        cancel.check("checking an archive");
        sha.update(piece);
      }
    } catch (const BadData& error) {
      throw docker::ImageImportError(fmt::format("layer {} ({}) is damaged: {}", i + 1, layer.diff_id, error.fact()));
    }
    if (const std::string found = sha.finish().str(); found != layer.diff_id)
      throw docker::ImageImportError(fmt::format("layer {} is damaged: it should unpack to {}, it does to {}", i + 1, layer.diff_id, found));
    done_bytes += layer.size_bytes;
  }
}

}  // namespace

bool is_image_of(const docker::Image& image, const Identity& identity) {
  return image.diff_ids == identity.diff_ids && image.created == identity.created;
}

LoadReport Loader::load(ArchiveFile& file, const NextKnownVersion& known_versions, const CancelToken& cancel, const SyncCallback& progress) {
  std::string why_full;
  auto report = try_thin(file, known_versions, cancel, progress, why_full);
  if (!report) {
    // Nobody looks at an index twice, and next to all the layers the headers are nothing.
    if (file.from_index()) file.read_headers();
    report = load_whole(file, cancel, progress);
  }
  report->layer_bytes = layer_bytes_;
  const size_t layers = file.archive().layers.size();
  log::info("environment", "loaded an environment",
            {{"archive", file_name(file)}, {"image", short_digest(report->image.id)}, {"way", report->thin ? "thin" : "full"},
             {"layers_sent", fmt::format("{} of {}", layers - report->layers_left_out, layers)},
             {"bytes", std::to_string(layer_bytes_)}, {"why", report->thin ? "the engine has the other layers" : why_full}});
  return std::move(*report);
}

std::optional<LoadReport> Loader::try_thin(ArchiveFile& file, const NextKnownVersion& known_versions, const CancelToken& cancel,
                                           const SyncCallback& progress, std::string& why_full) {
  PresentLayers::Choice choice = present_.choose(file.archive(), before_, known_versions);
  if (choice.shipment.left_out == 0) {
    why_full = std::move(choice.why);
    return std::nullopt;
  }
  try {
    LoadReport report = bring(file, choice.shipment, cancel, progress);
    report.thin = true;
    report.layers_left_out = choice.shipment.left_out;
    return report;
  } catch (const docker::DockerError& error) {
    if (is_full_disk(error)) throw;
    // A layer went while we looked, the index was wrong, the store has a hole: the whole archive needs none of what we believed.
    present_.distrust();
    why_full = "the thin load failed: " + error.fact();
    log::warning("environment", "a thin load failed, the whole archive follows", {{"archive", file_name(file)}, {"reason", error.fact()}});
    return std::nullopt;
  }
}

LoadReport Loader::load_whole(ArchiveFile& file, const CancelToken& cancel, const SyncCallback& progress) {
  const auto failure = [&](const std::string& reason, const std::string& next) {
    return docker::ImageImportError(fmt::format("the Docker Engine did not load '{}': {}{}", file_name(file), printable(reason), !before_ ? "" : "; the old image is still in place"),
                                    next.empty() ? "Check the free space of Docker's data root and the engine's log." : next);
  };
  for (bool again = false;; again = true) {
    try {
      return bring(file, ship_all(file.archive()), cancel, progress);
    } catch (const docker::DockerConnectionError&) {
      throw;
    } catch (const docker::ImageNotFoundError& error) {  // loaded, and then somebody has pruned
      if (again) throw failure(error.fact(), "Somebody removes images at the same time: look for a 'docker system prune -a'.");
      log::warning("environment", "an image vanished while it was examined, the archive is loaded again", {{"archive", file_name(file)}});
    } catch (const docker::DockerError& error) {
      throw failure(reason_of(error, file, cancel), error.next());
    }
  }
}

// One load under a tag of its own, so that the environment's tag never leads to something that was not examined: also not when we are killed.
LoadReport Loader::bring(ArchiveFile& file, const Shipment& shipment, const CancelToken& cancel, const SyncCallback& progress) {
  gate_.pass(file_name(file), file.archive());
  file.fetch(shipment.layers, cancel, [&](std::uint64_t bytes) { progress({"downloading", bytes, shipment.layer_bytes}); });
  check_packed_layers(file, shipment, cancel, progress);
  struct Arrival {
    docker::Engine& engine;
    std::string tag;
    bool welcome = false;
    ~Arrival() {
      if (!welcome) untag(engine, tag);
    }
  } arrival{engine_, arrival_tag()};

  const auto stream = image_stream(file.archive(), file.documents(), shipment, arrival.tag, file.fd());
  std::uint64_t total_bytes = 0;
  for (const docker::Segment& segment : stream) total_bytes += segment.fd >= 0 ? segment.size_bytes : segment.bytes.size();
  std::uint64_t sent_bytes = 0;
  const auto count = [&] { layer_bytes_ += std::min(sent_bytes, shipment.layer_bytes); };
  progress({"loading", 0, total_bytes});
  docker::LoadResult result;
  try {
    result = engine_.load_image(stream, [&](std::uint64_t sent) {
      file.check_unchanged();  // last of all after the layers, before the documents that make an image of them
      sent_bytes = sent;
      progress({"loading", sent, total_bytes});
    }, cancel);
  } catch (const IoError& error) {
    throw IoError(fmt::format("read '{}'", file.path().string()), error.error_number(), "Check the share.");
  } catch (...) {
    count();
    throw;
  }
  count();
  if (!result.error.empty()) throw docker::ImageImportError(result.error);
  progress({"verifying", total_bytes, total_bytes});
  docker::Image image = examine(file.archive(), arrival.tag);
  engine_.tag_image(image.id, tag_);
  if (image.id == file.archive().manifest_digest) present_.remember(file.archive());
  arrival.welcome = true;
  LoadReport report;
  report.image = std::move(image);
  report.arrival_tag = arrival.tag;
  return report;
}

// A 200 proves nothing: what counts is the image that is there now, and that the daemon lists it.
docker::Image Loader::examine(const Archive& archive, const std::string& arrival_tag) {
  auto image = engine_.find_image(arrival_tag);
  if (!image) throw docker::ImageNotFoundError("the image is not there afterwards");
  if (!is_image_of(*image, archive.identity)) throw docker::ImageImportError(difference(*image, archive.identity));
  const auto listed = engine_.list_image_ids();
  if (std::find(listed.begin(), listed.end(), image->id) == listed.end()) {
    throw docker::ImageImportError("the engine does not list the image: parts of it are missing");
  }
  return std::move(*image);
}

std::string Loader::arrival_tag() const {
  return fmt::format("{}{}{}-{}", tag_.substr(0, tag_.rfind(':') + 1), kArrival, unix_seconds(wall_now()), random_hex(4));
}

void Loader::sweep(docker::Engine& engine, const std::string& repository) {
  const std::string start = repository + kArrival;
  for (const docker::Image& image : engine.list_images_tagged(start + "*")) {
    for (const std::string& tag : image.tags) {
      if (!tag.starts_with(start)) continue;
      const auto second = parse_i64(std::string_view(tag).substr(start.size(), tag.find('-', start.size()) - start.size()));
      if (second && std::abs(unix_seconds(wall_now()) - *second) > kAbandonedSeconds) untag(engine, tag);
    }
  }
}

// With the tag goes an image that has no other. Best effort: there is a result or an error that matters more.
void Loader::untag(docker::Engine& engine, const std::string& tag) noexcept {
  try {
    engine.untag_image(tag);
  } catch (const docker::ImageNotFoundError&) {  // the load did not get that far
  } catch (const std::exception& error) {
    try {
      log::warning("environment", "cannot remove the tag of a load", {{"tag", tag}, {"reason", error.what()}});
    } catch (...) {
    }
  }
}

}  // namespace riverbox::environment
