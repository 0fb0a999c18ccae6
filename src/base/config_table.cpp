#include "base/config_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox::config_table {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

template <typename... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

std::optional<std::uint64_t> size_of(const std::string& text) {
  try {
    return parse_bytes(text);
  } catch (const InvalidInput&) {
    return std::nullopt;
  }
}

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\', out += c;
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) out += fmt::format("\\u{:04X}", static_cast<unsigned char>(c));
    else out += c;
  }
  return out + "\"";
}

// A daemon takes a change over on SIGHUP.
Row live(Row row) {
  row.live = true;
  return row;
}

}  // namespace

std::vector<Row> rows_of(Config& c) {
  return {
      {"", "host_url", &c.host_url},
      {"network", "host_bind_ip", &c.network.host_bind_ip},
      {"network", "host_port", &c.network.host_port},
      {"network", "host_reachable_address", &c.network.host_reachable_address},
      {"network", "host_ssh_proxy_port", &c.network.host_ssh_proxy_port},
      {"network", "unix_socket", &c.network.unix_socket},
      {"network", "max_connections_per_peer", &c.network.max_connections_per_peer},
      {"network", "runner_address", &c.network.runner_address},
      {"network", "runner_port", &c.network.runner_port},
      {"paths", "shared_dir", &c.paths.shared_dir},
      {"paths", "local_temp_dir", &c.paths.local_temp_dir},
      {"paths", "state_dir", &c.paths.state_dir},
      {"paths", "numactl_path", &c.paths.numactl_path},
      {"paths", "host_log_file", &c.paths.host_log_file},
      {"paths", "runner_log_file", &c.paths.runner_log_file},
      {"database", "db_file", &c.database.db_file},
      {"timing", "heartbeat_interval", &c.timing.heartbeat_interval},
      {"timing", "heartbeat_timeout_factor", &c.timing.heartbeat_timeout_factor},
      live({"timing", "cleanup_check_interval", &c.timing.cleanup_check_interval}),
      live({"timing", "lost_after", &c.timing.lost_after, {}, false, 0}),
      live({"timing", "on_partition", &c.timing.on_partition, {"keep", "stop"}}),
      live({"timing", "lease", &c.timing.lease}),
      {"timing", "resource_check_interval", &c.timing.resource_check_interval},
      live({"retention", "tasks_days", &c.retention.tasks_days, {}, false, 0}),
      live({"retention", "logs_days", &c.retention.logs_days, {}, false, 0}),
      live({"retention", "events_days", &c.retention.events_days, {}, false, 0}),
      {"environment", "runner_user", &c.environment.runner_user},
      {"docker", "prefix", &c.docker.prefix, {"hakuriver", "kohakuriver"}},
      {"docker", "endpoint", &c.docker.endpoint},
      {"docker", "container_dir", &c.docker.container_dir},
      live({"docker", "default_container_name", &c.docker.default_container_name}),
      {"docker", "initial_base_image", &c.docker.initial_base_image},
      live({"docker", "tasks_privileged", &c.docker.tasks_privileged}),
      {"docker", "tasks_pids_limit", &c.docker.tasks_pids_limit, {}, false, 0},
      {"docker", "tasks_network", &c.docker.tasks_network},
      {"docker", "tasks_subnet", &c.docker.tasks_subnet},
      live({"docker", "additional_mounts", &c.docker.additional_mounts}),
      live({"docker", "keep_versions", &c.docker.keep_versions}),
      live({"docker", "compression", &c.docker.compression, {"none", "gzip"}}),
      live({"docker", "max_layers", &c.docker.max_layers}),
      {"docker", "remove_superseded_images", &c.docker.remove_superseded_images},
      live({"docker", "preload", &c.docker.preload}),
      {"docker", "image_sync_timeout", &c.docker.image_sync_timeout},
      live({"tasks", "allow_privileged", &c.tasks.allow_privileged}),
      live({"tasks", "allowed_mounts", &c.tasks.allowed_mounts}),
      live({"tasks", "max_output", &c.tasks.max_output}),
      live({"vps", "allow_ssh_without_key", &c.vps.allow_ssh_without_key}),
      {"vps", "auto_snapshot_on_stop", &c.vps.auto_snapshot_on_stop},
      {"vps", "auto_restore_on_create", &c.vps.auto_restore_on_create},
      {"vps", "max_snapshots_per_vps", &c.vps.max_snapshots_per_vps, {}, false, 0},
      {"security", "auth", &c.security.auth, {"token", "none"}},
      {"security", "token", &c.security.token, {}, true},
      {"security", "token_file", &c.security.token_file},
      {"security", "tls", &c.security.tls, {"off", "auto", "files"}},
      {"security", "tls_certificate", &c.security.tls_certificate},
      {"security", "tls_key", &c.security.tls_key},
      {"security", "local_users", &c.security.local_users},
      live({"security", "allowed_origins", &c.security.allowed_origins}),
      live({"security", "allowed_hosts", &c.security.allowed_hosts}),
      {"security", "signatures", &c.security.signatures, {"require", "warn", "off"}},
      {"runner", "name", &c.runner.name},
      {"runner", "tunnel_gateway", &c.runner.tunnel_gateway},
      {"runner", "allow_host_tasks", &c.runner.allow_host_tasks},
      live({"log", "level", &c.log.level, {"debug", "info", "warning", "error"}}),
  };
}
std::string Row::name() const { return section.empty() ? std::string(key) : fmt::format("{}.{}", section, key); }

std::string Row::variable() const {
  std::string text = section.empty() ? fmt::format("RIVERBOX_{}", key) : fmt::format("RIVERBOX_{}_{}", section, key);
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

bool Row::has_classic_name(std::string_view upper) const {
  if (upper.ends_with("_SECONDS")) upper.remove_suffix(8);
  return !section.empty() && upper != to_lower(upper) && to_lower(upper) == key;
}

std::string expected(const Row& row) {
  if (!row.choices.empty()) return fmt::format("\"{}\"", fmt::join(row.choices, "\" or \""));
  using Text = std::string;
  return std::visit(Overloaded{[](std::string*) -> Text { return "a string"; },
                               [](fs::path*) -> Text { return "a path in quotes"; },
                               [](std::uint64_t*) -> Text { return "a size such as \"512M\" or \"4GiB\", or 0"; },
                               [](std::uint16_t*) -> Text { return "a whole number from 0 to 65535"; },
                               [&](int*) -> Text { return fmt::format("a whole number, at least {}", row.least); },
                               [&](seconds*) -> Text { return fmt::format("a whole number of seconds, at least {}", row.least); },
                               [](bool*) -> Text { return "true or false"; },
                               [](std::vector<std::string>*) -> Text { return "a list of strings"; }},
                    row.field);
}

fs::path absolute_path(std::string_view text) {
  if (text == "~") return home_dir();
  if (text.starts_with("~/")) return home_dir() / text.substr(2);
  return fs::absolute(fs::path(text)).lexically_normal();
}

bool assign(const Row& row, const Raw& raw) {
  const auto* text = std::get_if<std::string>(&raw);
  const auto* number = std::get_if<std::int64_t>(&raw);
  if (text && !row.choices.empty() && std::find(row.choices.begin(), row.choices.end(), *text) == row.choices.end()) return false;
  if (text && text->find('\0') != std::string::npos) return false;
  return std::visit(
      Overloaded{[&](std::string* field) { return text && (*field = *text, true); },
                 [&](fs::path* field) { return text && !text->empty() && (*field = absolute_path(*text), true); },
                 [&](std::uint64_t* field) {
                   const auto size = text ? size_of(*text) : number && *number >= 0 ? std::optional(static_cast<std::uint64_t>(*number)) : std::nullopt;
                   return size && (*field = *size, true);
                 },
                 [&](std::uint16_t* field) {
                   return number && *number >= 0 && *number <= 65535 && (*field = static_cast<std::uint16_t>(*number), true);
                 },
                 [&](int* field) { return number && *number >= row.least && *number <= 1'000'000 && (*field = static_cast<int>(*number), true); },
                 [&](seconds* field) { return number && *number >= row.least && *number <= 1'000'000'000 && (*field = seconds(*number), true); },
                 [&](bool* field) {
                   const bool* flag = std::get_if<bool>(&raw);
                   return flag && (*field = *flag, true);
                 },
                 [&](std::vector<std::string>* field) {
                   const auto* list = std::get_if<std::vector<std::string>>(&raw);
                   return list && (*field = *list, true);
                 }},
      row.field);
}

std::string as_toml(const Row& row) {
  if (row.secret) return std::get<std::string*>(row.field)->empty() ? "\"\"" : "\"***\"";
  return std::visit(Overloaded{[](const std::string* field) { return toml_string(*field); },
                               [](const fs::path* field) { return toml_string(field->string()); },
                               [](const std::uint16_t* field) { return std::to_string(*field); },
                               [](const int* field) { return std::to_string(*field); },
                               [](const std::uint64_t* field) { return std::to_string(*field); },
                               [](const seconds* field) { return std::to_string(field->count()); },
                               [](const bool* field) { return std::string(*field ? "true" : "false"); },
                               [](const std::vector<std::string>* field) {
                                 std::vector<std::string> items;
                                 for (const std::string& item : *field) items.push_back(toml_string(item));
                                 return "[" + join(items, ", ") + "]";
                               }},
                    row.field);
}

bool same(const Row& one, const Row& other) {
  return std::visit([&](const auto* field) { return *field == **std::get_if<std::remove_const_t<std::remove_pointer_t<decltype(field)>>*>(&other.field); }, one.field);
}

void copy(const Row& from, const Row& to) {
  std::visit([&](auto* field) { *field = *std::get<decltype(field)>(from.field); }, to.field);
}

}  // namespace riverbox::config_table
