#include "base/config.hpp"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/config_file.hpp"
#include "base/config_table.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"

extern char** environ;

namespace riverbox {
namespace {

namespace fs = std::filesystem;
using namespace config_table;
using std::chrono::seconds;

// ---- the environment

// Text of a variable in the shape that the row wants; what does not fit stays text and is refused by assign().
Raw raw_of_text(const Row& row, const std::string& text) {
  const bool numeric = std::holds_alternative<std::uint16_t*>(row.field) || std::holds_alternative<int*>(row.field) ||
                       std::holds_alternative<seconds*>(row.field);
  if (const auto number = parse_i64(trim(text)); numeric && number) return static_cast<std::int64_t>(*number);
  if (std::holds_alternative<bool*>(row.field)) {
    const std::string word = to_lower(trim(text));
    if (word == "true" || word == "1" || word == "yes" || word == "on") return true;
    if (word == "false" || word == "0" || word == "no" || word == "off") return false;
  }
  if (std::holds_alternative<std::vector<std::string>*>(row.field)) {
    std::vector<std::string> list;
    for (const std::string& item : split(text, ','))
      if (!trim(item).empty()) list.emplace_back(trim(item));
    return list;
  }
  return row.choices.empty() ? text : to_lower(trim(text));
}

void apply_environment(Config& config) {
  const std::vector<Row> rows = rows_of(config);
  const auto apply = [&](const Row& row, const std::string& variable) {
    const char* text = std::getenv(variable.c_str());
    if (!text || !*text) return;  // compose files set variables to nothing
    if (!assign(row, raw_of_text(row, text)))
      throw ConfigError(fmt::format("${} must be {}, not {}", variable, expected(row),
                                    row.secret ? "this text" : fmt::format("\"{}\"", printable(text, 60))));
    config.origin[row.name()] = "$" + variable;
  };
  const auto apply_alias = [&](std::string_view name, const char* variable) {
    for (const Row& row : rows)
      if (row.name() == name) apply(row, variable);
  };
  apply_alias("docker.image_sync_timeout", "DOCKER_IMAGE_SYNC_TIMEOUT");
  apply_alias("security.token", "RIVERBOX_TOKEN");
  apply_alias("host_url", "RIVERBOX_HOST");
  apply_alias("log.level", "RIVERBOX_LOG");
  for (const Row& row : rows) apply(row, row.variable());

  // A misspelt variable of one of our sections is a mistake; RIVERBOX_ANYTHING_ELSE may belong to a script.
  std::vector<std::string> known;
  for (const Row& row : rows) known.push_back(row.variable());
  for (char** entry = environ; entry && *entry; ++entry) {
    const std::string variable(*entry, std::strcspn(*entry, "="));
    if (!variable.starts_with("RIVERBOX_") || std::find(known.begin(), known.end(), variable) != known.end()) continue;
    const bool ours = std::any_of(rows.begin(), rows.end(), [&](const Row& row) {
      return !row.section.empty() && to_lower(variable).starts_with(fmt::format("riverbox_{}_", row.section));
    });
    if (!ours) continue;
    const auto close = nearest(variable, known);
    config.warnings.push_back(fmt::format("unknown variable ${} is ignored{}", printable(variable, 80),
                                          close ? fmt::format("; did you mean ${}?", *close) : ""));
  }
}

void fill_defaults(Config& config) {
  const auto fallback = [](auto& value, auto&& make) {
    if (value.empty()) value = make();
  };
  fallback(config.paths.state_dir, [] { return default_state_dir(); });
  fallback(config.paths.shared_dir, [&] { return config.paths.state_dir / "shared"; });
  fallback(config.paths.local_temp_dir, [&] { return config.paths.state_dir / "local_temp"; });
  fallback(config.database.db_file, [&] { return config.paths.state_dir / "host.db"; });
  fallback(config.docker.container_dir, [&] { return config.docker.prefix + "-containers"; });
  fallback(config.security.token_file, [] { return home_dir() / ".riverbox/token"; });
  fallback(config.runner.name, [] {
    char name[256] = {};
    return std::string(::gethostname(name, sizeof(name) - 1) == 0 && name[0] ? name : "localhost");
  });
}
}  // namespace

Config Config::load(const std::optional<fs::path>& flag_path) {
  Config config;
  for (const Row& row : rows_of(config)) config.origin[row.name()] = "default";
  apply_file(config, flag_path);
  apply_environment(config);
  fill_defaults(config);
  return config;
}

std::string Config::url() const {
  std::string text = host_url;
  if (text.empty()) text = network.host_reachable_address;
  while (text.ends_with('/')) text.pop_back();
  if (text.find("://") != std::string::npos) return text;
  return "http://" + authority_of(text, network.host_port);
}

std::string authority_of(std::string host, std::uint16_t port) {
  // A bare address: of an IPv6 one only the brackets tell where a port could begin.
  if (std::count(host.begin(), host.end(), ':') > 1 && !host.starts_with('[')) host = "[" + host + "]";
  const size_t after_host = host.starts_with('[') ? host.find(']') : 0;
  const bool has_port = after_host != std::string::npos && host.find(':', after_host) != std::string::npos;
  return host + (has_port ? "" : ":" + std::to_string(port));
}

// systemd makes a folder for it that every user can look into; the state folder is for its owner alone.
fs::path Config::unix_socket() const {
  if (network.unix_socket == "none") return {};
  if (!network.unix_socket.empty()) return absolute_path(network.unix_socket);
  if (const char* dir = std::getenv("RUNTIME_DIRECTORY"); dir && *dir == '/') return fs::path(std::string(dir, std::strcspn(dir, ":"))) / "host.sock";
  return paths.state_dir / "host.sock";
}

fs::path Config::container_dir() const { return paths.shared_dir / docker.container_dir; }

std::vector<Config::Shown> Config::show() const {
  Config copy = *this;  // the rows point to fields that can be written
  std::vector<Shown> shown;
  for (const Row& row : rows_of(copy)) shown.push_back({row.name(), as_toml(row), origin_of(row.name()), row.live});
  return shown;
}

std::vector<Config::Shown> Config::changed_in(const Config& next) const {
  Config from = *this, to = next;  // the rows point to fields that can be written
  const std::vector<Row> before = rows_of(from), after = rows_of(to);
  std::vector<Shown> changed;
  for (size_t i = 0; i < before.size(); ++i)
    if (!same(before[i], after[i])) changed.push_back({after[i].name(), as_toml(after[i]), next.origin_of(after[i].name()), after[i].live});
  return changed;
}

Config Config::with_live_values_of(const Config& next) const {
  Config mixed = *this, other = next;
  const std::vector<Row> mine = rows_of(mixed), theirs = rows_of(other);
  for (size_t i = 0; i < mine.size(); ++i) {
    if (!mine[i].live) continue;
    copy(theirs[i], mine[i]);
    mixed.origin[mine[i].name()] = next.origin_of(mine[i].name());
  }
  return mixed;
}

std::string Config::origin_of(const std::string& key) const {
  const auto from = origin.find(key);
  return from == origin.end() ? "default" : from->second;
}

fs::path default_state_dir() {
  if (const char* dir = std::getenv("STATE_DIRECTORY"); dir && *dir == '/') {
    return std::string(dir, std::strcspn(dir, ":"));  // systemd lists several with colons
  }
  if (const char* dir = std::getenv("XDG_STATE_HOME"); dir && *dir == '/') return fs::path(dir) / "riverbox";
  return ::geteuid() == 0 ? fs::path("/var/lib/riverbox") : home_dir() / ".local/state/riverbox";
}

fs::path home_dir() {
  if (const char* home = std::getenv("HOME"); home && *home == '/') return home;
  const passwd* entry = ::getpwuid(::geteuid());
  return entry && entry->pw_dir && *entry->pw_dir ? entry->pw_dir : "/";
}

}  // namespace riverbox
