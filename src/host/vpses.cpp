#include "host/vpses.hpp"

#include <algorithm>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"

namespace riverbox::host {
namespace {

NotFound no_such_vps(const std::string& id_or_name) { return NotFound("there is no VPS '" + printable(id_or_name, 100) + "'", "`riverbox vps list` shows those there are."); }

bool is_small(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

}  // namespace

bool Vpses::is_name(std::string_view name) {
  if (name.empty() || name.size() > kLongestName || !is_small(name.front()) || !is_small(name.back())) return false;
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) { return is_small(c) || c == '-'; });
  return plain && name.find_first_not_of("0123456789") != std::string_view::npos;  // else it would be taken for an id
}

bool Vpses::is_reserved(std::string_view name) {
  static constexpr std::string_view kWords[] = {"assign", "assignments", "create", "my", "publish", "remove", "restart", "restore", "snapshots", "start", "status", "stop", "vm-instances"};
  return std::binary_search(std::begin(kWords), std::end(kWords), name);
}

store::TaskRecord Vpses::create(const Submission& submission) {
  const auto& name = submission.spec.name;
  if (!name.empty())
    if (repository_.named(name)) throw Conflict("a VPS is called '" + name + "' already", "Choose another name.");  // it may be somebody else's
  auto submitted = tasks_.submit({submission});
  return std::move(submitted.tasks.front());
}

store::TaskRecord Vpses::find(const std::string& id_or_name, const std::optional<std::string>& user) {
  const bool is_id = !id_or_name.empty() && id_or_name.find_first_not_of("0123456789") == std::string::npos;
  const auto id = is_id ? std::optional(TaskId::parse(id_or_name)) : repository_.named(id_or_name);
  if (!id) throw no_such_vps(id_or_name);
  try {
    auto task = tasks_.get(*id);
    if (task.spec.vps && (!user || task.owner == *user || is_shared_with(task, *user))) return task;
  } catch (const NotFound&) {
  }
  throw no_such_vps(id_or_name);
}

store::TaskRecord Vpses::start(TaskId id, const Beginning& beginning) {
  auto vps = tasks_.get(id);
  if (!is_final(vps.state)) throw Conflict("VPS " + id.str() + " is " + std::string(to_string(vps.state)), "Only one that is stopped can be started.");
  vps.spec.vps->made = vps.spec.vps->made || !vps.image_id.empty();
  vps.spec.vps->from_snapshot = beginning.snapshot;
  vps.spec.vps->fresh = beginning.fresh;
  vps.spec.vps->discard = beginning.discard;
  tasks_.start_again(vps, [this](const store::TaskRecord& again) { return repository_.start_again(again); });
  return tasks_.get(id);
}

void Vpses::remove(TaskId id) {
  const auto vps = tasks_.get(id);
  if (!is_final(vps.state)) throw Conflict("VPS " + id.str() + " is " + std::string(to_string(vps.state)), "Stop it first, or say --force.");
  repository_.remove(vps);
  log::info("host", "VPS removed", {{"task", id.str()}, {"node", vps.node}});
  clean(vps.node, id);
}

void Vpses::share(const store::TaskRecord& vps, const std::vector<std::string>& users) {
  assignments_.add(vps, users, to_rfc3339(wall_now()));
  log::info("audit", "VPS shared", {{"task", vps.spec.id.str()}, {"with", join(users, ", ")}});
}

void Vpses::unshare(const store::TaskRecord& vps, const std::string& user) {
  if (!assignments_.remove(vps, user)) throw NotFound("VPS " + vps.spec.id.str() + " is not shared with '" + printable(user, 100) + "'", "`riverbox vps show` tells with whom it is.");
  log::info("audit", "VPS shared no more", {{"task", vps.spec.id.str()}, {"with", user}});
}

void Vpses::clean(const std::string& node) {
  for (const TaskId id : repository_.leftovers_on(node)) clean(node, id);
}

// Until the runner has said that it is gone, it is tried again with every link.
void Vpses::clean(const std::string& node, TaskId id) {
  const auto known = nodes_.find(node);
  if (!known || !known->link) return;
  known->link->control("remove_vps", id, 1, [this, id](bool ok, const std::string& message) {
    if (ok) repository_.is_gone(id);
    else log::warning("host", "a removed VPS is still on its node", {{"task", id.str()}, {"reason", message}});
  });
}

}  // namespace riverbox::host
