// Names, tags and labels of everything we make in Docker, for either prefix ("hakuriver", "kohakuriver").
// The conventions are those of seeds/003-kohakuriver-docker-integration.txt.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.hpp"

namespace riverbox::docker {

class Naming {
public:
  explicit Naming(std::string prefix) : prefix_(std::move(prefix)) {}
  const std::string& prefix() const { return prefix_; }

  std::string task_container(TaskId id) const;                 // <prefix>-task-<id>
  std::string vps_container(TaskId id) const;                  // <prefix>-vps-<id>
  std::string environment_container(std::string_view name) const;  // <prefix>-env-<name>
  std::string next_container(std::string_view name) const;         // <prefix>-next-<name>: about to become the environment's container
  std::string previous_container(std::string_view name) const;     // <prefix>-previous-<name>: just was it
  std::string environment_image(std::string_view name, std::string_view tag = "base") const;  // <prefix>/<name>:base
  std::string snapshot_image(TaskId id, std::int64_t unix_seconds) const;  // <prefix>-snapshot/vps-<id>:<ts>
  std::string container_dir() const;                           // <prefix>-containers
  std::string network() const;                                 // <prefix>-net

  std::string label(std::string_view key) const;               // <prefix>.<key>
  using Labels = std::map<std::string, std::string>;
  Labels environment_labels(std::string_view name) const;      // managed=true, environment=<name>
  Labels task_labels(TaskId id, std::string_view type, std::string_view node, int attempt, std::int64_t epoch) const;
  bool is_managed(const Labels& labels) const;

private:
  std::string prefix_;
};

// These answer for both prefixes; `name` may start with "/" as the Engine gives it.
bool is_hakuriver_container(std::string_view name);
bool is_kohakuriver_container(std::string_view name);
std::optional<TaskId> extract_task_id_from_name(std::string_view name);      // task and VPS containers
std::optional<std::string> extract_environment_from_name(std::string_view name);

}  // namespace riverbox::docker
