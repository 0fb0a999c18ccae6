#include "docker/naming.hpp"

#include "base/strings.hpp"

namespace riverbox::docker {

namespace {

constexpr std::string_view kPrefixes[] = {"hakuriver", "kohakuriver"};

// What follows "<prefix>-<kind>-" in a container's name, with or without the Engine's leading slash.
std::optional<std::string_view> after(std::string_view name, std::string_view prefix, std::string_view kind) {
  if (name.starts_with('/')) name.remove_prefix(1);
  for (std::string_view part : {prefix, std::string_view("-"), kind, std::string_view("-")}) {
    if (!name.starts_with(part)) return std::nullopt;
    name.remove_prefix(part.size());
  }
  if (name.empty()) return std::nullopt;
  return name;
}

std::optional<TaskId> task_id(std::string_view name, std::string_view prefix) {
  for (std::string_view kind : {"task", "vps"})
    if (auto rest = after(name, prefix, kind))
      if (auto value = parse_u64(*rest)) return TaskId(*value);
  return std::nullopt;
}

bool is_container_of(std::string_view name, std::string_view prefix) {
  return after(name, prefix, "env") || task_id(name, prefix);
}

}  // namespace

std::string Naming::task_container(TaskId id) const { return prefix_ + "-task-" + id.str(); }
std::string Naming::vps_container(TaskId id) const { return prefix_ + "-vps-" + id.str(); }

std::string Naming::environment_container(std::string_view name) const {
  return prefix_ + "-env-" + std::string(name);
}

std::string Naming::next_container(std::string_view name) const { return prefix_ + "-next-" + std::string(name); }
std::string Naming::previous_container(std::string_view name) const { return prefix_ + "-previous-" + std::string(name); }

std::string Naming::environment_image(std::string_view name, std::string_view tag) const {
  return prefix_ + "/" + std::string(name) + ":" + std::string(tag);
}

std::string Naming::snapshot_image(TaskId id, std::int64_t unix_seconds) const {
  return prefix_ + "-snapshot/vps-" + id.str() + ":" + std::to_string(unix_seconds);
}

std::string Naming::container_dir() const { return prefix_ + "-containers"; }
std::string Naming::network() const { return prefix_ + "-net"; }
std::string Naming::label(std::string_view key) const { return prefix_ + "." + std::string(key); }

Naming::Labels Naming::environment_labels(std::string_view name) const {
  return {{label("managed"), "true"}, {label("environment"), std::string(name)}};
}

Naming::Labels Naming::task_labels(TaskId id, std::string_view type, std::string_view node, int attempt,
                                   std::int64_t epoch) const {
  return {{label("managed"), "true"},
          {label("task_id"), id.str()},
          {label("task_type"), std::string(type)},
          {label("node"), std::string(node)},
          {label("attempt"), std::to_string(attempt)},
          {label("epoch"), std::to_string(epoch)}};
}

bool Naming::is_managed(const Labels& labels) const {
  auto found = labels.find(label("managed"));
  return found != labels.end() && found->second == "true";
}

bool is_hakuriver_container(std::string_view name) { return is_container_of(name, kPrefixes[0]); }
bool is_kohakuriver_container(std::string_view name) { return is_container_of(name, kPrefixes[1]); }

std::optional<TaskId> extract_task_id_from_name(std::string_view name) {
  for (auto prefix : kPrefixes)
    if (auto id = task_id(name, prefix)) return id;
  return std::nullopt;
}

std::optional<std::string> extract_environment_from_name(std::string_view name) {
  for (auto prefix : kPrefixes)
    if (auto rest = after(name, prefix, "env")) return std::string(*rest);
  return std::nullopt;
}

}  // namespace riverbox::docker
