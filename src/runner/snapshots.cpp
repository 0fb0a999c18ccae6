#include "runner/snapshots.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/sha256.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"
#include "os/atomic_file.hpp"
#include "runner/vps_container.hpp"

namespace riverbox::runner {
namespace {

constexpr std::string_view kPassing = "publish";  // instead of a number
constexpr size_t kDigits = 8;

}  // namespace

std::string Snapshots::repository(TaskId id) const {
  const std::string tag = facts_.naming.snapshot_image(id, 0);
  return tag.substr(0, tag.rfind(':'));
}

std::vector<VpsSnapshot> Snapshots::list(TaskId id) {
  const auto container = VpsContainer(engine_, facts_, id).find();
  const std::string prefix = repository(id) + ":";
  std::vector<VpsSnapshot> found;
  for (const auto& image : engine_.list_images_tagged(repository(id))) {
    for (const std::string& tag : image.tags) {
      const auto timestamp = tag.starts_with(prefix) ? parse_i64(tag.substr(prefix.size())) : std::nullopt;
      if (!timestamp) continue;
      const auto last = engine_.last_step(tag);
      found.push_back({.timestamp = *timestamp, .tag = tag, .message = last.comment, .created_at = to_rfc3339(image.created), .size_bytes = image.size_bytes, .own_bytes = last.size_bytes,
                       .in_use = container && container->image_id == image.id});
    }
  }
  std::sort(found.begin(), found.end(), [](const VpsSnapshot& a, const VpsSnapshot& b) { return a.timestamp > b.timestamp; });
  return found;
}

std::string Snapshots::image(TaskId id, std::int64_t timestamp) {
  const auto image = engine_.find_image(facts_.naming.snapshot_image(id, timestamp));
  if (!image) throw NotFound("VPS " + id.str() + " has no snapshot " + std::to_string(timestamp) + " on node " + facts_.node, "`riverbox vps snapshots` shows those there are.");
  return image->id;
}

std::string Snapshots::base_of(const docker::Container& container) const {
  const auto label = container.labels.find(facts_.naming.label("base"));  // of the snapshot that it was made of
  return label == container.labels.end() || label->second.empty() ? container.image_id : label->second;
}

std::filesystem::path Snapshots::commit_mark(TaskId id) const { return facts_.state_file + ".commit-" + id.str(); }

bool Snapshots::was_at_commit(TaskId id) noexcept {
  std::error_code error;
  return std::filesystem::remove(commit_mark(id), error);
}

// Tagged by the commit itself: the engine ends it also when nobody waits for it any more. It lets the container go on then, too, which a new runner would take for paused
// by its user.
void Snapshots::commit(TaskId id, const docker::Container& container, const std::string& message, const std::string& tag) {
  const bool runs = container.state.running && !container.state.paused;
  struct Mark {
    const std::filesystem::path file;
    const CancelToken& stopping;  // then the engine goes on without us
    ~Mark() {
      std::error_code error;
      if (!file.empty() && !stopping.cancelled()) std::filesystem::remove(file, error);
    }
  } mark{runs ? commit_mark(id) : std::filesystem::path(), stopping_};
  if (runs) os::write_atomically(mark.file, "");
  engine_.commit(container.id, {"LABEL " + facts_.naming.label("base") + "=" + base_of(container)}, {.comment = message, .tag = tag, .pause = runs}, stopping_);
}

VpsSnapshot Snapshots::take(TaskId id, const std::string& message, std::optional<std::int64_t> needed) {
  const auto container = VpsContainer(engine_, facts_, id).get();
  const auto before = list(id);
  const std::int64_t timestamp = std::max(unix_seconds(wall_now()), before.empty() ? 0 : before.front().timestamp + 1);
  commit(id, container, message, facts_.naming.snapshot_image(id, timestamp));
  log::info("runner", "snapshot taken", {{"task", id.str()}, {"snapshot", std::to_string(timestamp)}});
  prune(id, timestamp, needed);
  for (VpsSnapshot& snapshot : list(id))
    if (snapshot.timestamp == timestamp) return std::move(snapshot);
  throw NotFound("the snapshot of VPS " + id.str() + " was removed as soon as it was taken");
}

void Snapshots::prune(TaskId id, std::int64_t taken, std::optional<std::int64_t> needed) {
  if (rules_.most == 0) return;
  const auto all = list(id);
  for (size_t i = rules_.most; i < all.size(); ++i) {
    if (all[i].in_use || all[i].timestamp == taken || all[i].timestamp == needed) continue;
    try {
      engine_.untag_image(all[i].tag);
      log::info("runner", "an older snapshot is removed", {{"task", id.str()}, {"snapshot", std::to_string(all[i].timestamp)}});
    } catch (const docker::DockerError& error) {
      log::warning("runner", "an older snapshot stays", {{"image", all[i].tag}, {"reason", error.fact()}});
    }
  }
}

std::vector<VpsSnapshot> Snapshots::remove(TaskId id, std::optional<std::int64_t> timestamp) {
  auto chosen = list(id);
  if (timestamp) {
    const VpsSnapshot one = choose_snapshot(chosen, std::to_string(*timestamp));
    if (one.in_use) throw Conflict("VPS " + id.str() + " was made of snapshot " + std::to_string(*timestamp) + " and needs it", "Restore another one first, or start the VPS with --fresh.");
    chosen = {one};
  }
  std::erase_if(chosen, [](const VpsSnapshot& one) { return one.in_use; });
  for (const VpsSnapshot& one : chosen) engine_.untag_image(one.tag);
  return chosen;
}

void Snapshots::remove_all(TaskId id) {
  for (const auto& image : engine_.list_images_tagged(repository(id)))
    for (const std::string& tag : image.tags)
      if (tag.starts_with(repository(id) + ":")) engine_.untag_image(tag);
}

// Of this runner: another one on the same daemon may be at work.
std::string Snapshots::passing_tag() const { return std::string(kPassing) + "-" + Sha256::of(facts_.state_file).hex().substr(0, kDigits) + "-"; }

void Snapshots::remove_leftovers() noexcept {
  try {
    for (const auto& image : engine_.list_images_tagged(facts_.naming.prefix() + "-snapshot/*"))
      for (const std::string& tag : image.tags)
        if (tag.substr(tag.rfind(':') + 1).starts_with(passing_tag())) engine_.untag_image(tag);
  } catch (const std::exception& error) {
    log::debug("runner", "cannot look for leftover images", {{"reason", error.what()}});
  }
}

Snapshots::Passing::Passing(Snapshots& owner, TaskId id) : owner_(owner), tag_(owner.repository(id) + ":" + owner.passing_tag() + random_hex(4)) {
  const auto container = VpsContainer(owner_.engine_, owner_.facts_, id).get();
  base_ = owner_.base_of(container);
  owner_.commit(id, container, "published by riverbox", tag_);
  image_ = owner_.engine_.inspect_image(tag_);
}

Snapshots::Passing::~Passing() {
  try {
    owner_.engine_.untag_image(tag_);
  } catch (const std::exception& error) {
    log::warning("runner", "an image is left over until the runner is started again", {{"image", tag_}, {"reason", error.what()}});
  }
}

}  // namespace riverbox::runner
