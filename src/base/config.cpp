#include "base/config.hpp"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>
#include <toml.hpp>
#include <variant>

#include "base/error.hpp"
#include "base/strings.hpp"

extern char** environ;

namespace riverbox {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;
using Toml = toml::basic_value<toml::discard_comments, std::map, std::vector>;

// ---- the table: one row per key. File, environment, warnings and show() all come from it.

struct Row {
  using Field = std::variant<std::string*, fs::path*, std::uint16_t*, int*, std::uint64_t* /* a size in bytes */, seconds*, bool*, std::vector<std::string>*>;
  std::string_view section, key;
  Field field;
  std::vector<std::string_view> choices = {};  // allowed texts; empty: any
  bool secret = false;
  std::int64_t least = 1;  // of numbers
  bool live = false;       // a daemon takes a change over on SIGHUP; else it has to be started again

  std::string name() const { return section.empty() ? std::string(key) : fmt::format("{}.{}", section, key); }
  std::string variable() const {
    std::string text = section.empty() ? fmt::format("RIVERBOX_{}", key) : fmt::format("RIVERBOX_{}_{}", section, key);
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
    return text;
  }
  // The attribute of HakuRiver's configuration classes that `--config` files could set at top level.
  bool has_classic_name(std::string_view upper) const {
    if (upper.ends_with("_SECONDS")) upper.remove_suffix(8);
    return !section.empty() && upper != to_lower(upper) && to_lower(upper) == key;
  }
};

constexpr bool kLive = true;

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
      {"timing", "cleanup_check_interval", &c.timing.cleanup_check_interval, {}, false, 1, kLive},
      {"timing", "lost_after", &c.timing.lost_after, {}, false, 0, kLive},
      {"timing", "on_partition", &c.timing.on_partition, {"keep", "stop"}, false, 1, kLive},
      {"timing", "lease", &c.timing.lease, {}, false, 1, kLive},
      {"timing", "resource_check_interval", &c.timing.resource_check_interval},
      {"retention", "tasks_days", &c.retention.tasks_days, {}, false, 0, kLive},
      {"retention", "logs_days", &c.retention.logs_days, {}, false, 0, kLive},
      {"retention", "events_days", &c.retention.events_days, {}, false, 0, kLive},
      {"environment", "runner_user", &c.environment.runner_user},
      {"docker", "prefix", &c.docker.prefix, {"hakuriver", "kohakuriver"}},
      {"docker", "endpoint", &c.docker.endpoint},
      {"docker", "container_dir", &c.docker.container_dir},
      {"docker", "default_container_name", &c.docker.default_container_name, {}, false, 1, kLive},
      {"docker", "initial_base_image", &c.docker.initial_base_image},
      {"docker", "tasks_privileged", &c.docker.tasks_privileged, {}, false, 1, kLive},
      {"docker", "tasks_pids_limit", &c.docker.tasks_pids_limit, {}, false, 0},
      {"docker", "tasks_network", &c.docker.tasks_network},
      {"docker", "tasks_subnet", &c.docker.tasks_subnet},
      {"docker", "additional_mounts", &c.docker.additional_mounts, {}, false, 1, kLive},
      {"docker", "keep_versions", &c.docker.keep_versions, {}, false, 1, kLive},
      {"docker", "compression", &c.docker.compression, {"none", "gzip"}, false, 1, kLive},
      {"docker", "max_layers", &c.docker.max_layers, {}, false, 1, kLive},
      {"docker", "remove_superseded_images", &c.docker.remove_superseded_images},
      {"docker", "preload", &c.docker.preload, {}, false, 1, kLive},
      {"docker", "image_sync_timeout", &c.docker.image_sync_timeout},
      {"tasks", "allow_privileged", &c.tasks.allow_privileged, {}, false, 1, kLive},
      {"tasks", "allowed_mounts", &c.tasks.allowed_mounts, {}, false, 1, kLive},
      {"tasks", "max_output", &c.tasks.max_output, {}, false, 1, kLive},
      {"security", "auth", &c.security.auth, {"token", "none"}},
      {"security", "token", &c.security.token, {}, true},
      {"security", "token_file", &c.security.token_file},
      {"security", "tls", &c.security.tls, {"off", "auto", "files"}},
      {"security", "tls_certificate", &c.security.tls_certificate},
      {"security", "tls_key", &c.security.tls_key},
      {"security", "local_users", &c.security.local_users},
      {"security", "allowed_origins", &c.security.allowed_origins, {}, false, 1, kLive},
      {"security", "allowed_hosts", &c.security.allowed_hosts, {}, false, 1, kLive},
      {"security", "signatures", &c.security.signatures, {"require", "warn", "off"}},
      {"runner", "name", &c.runner.name},
      {"runner", "allow_host_tasks", &c.runner.allow_host_tasks},
      {"log", "level", &c.log.level, {"debug", "info", "warning", "error"}, false, 1, kLive},
  };
}

template <typename... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

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

std::optional<std::uint64_t> size_of(const std::string& text) {
  try {
    return parse_bytes(text);
  } catch (const InvalidInput&) {
    return std::nullopt;
  }
}

// One value as it comes from a file or a variable; false: it does not fit the row.
using Raw = std::variant<std::string, std::int64_t, bool, std::vector<std::string>>;

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

// ---- the file

constexpr size_t kMaxFileBytes = 1 << 20;  // a larger one is not a configuration

std::string where(const fs::path& file, const Toml& value) { return fmt::format("{}:{}", file.string(), value.location().line()); }

std::optional<Raw> raw_of(const Toml& value) {
  if (value.is_string()) return value.as_string().str;
  if (value.is_integer()) return value.as_integer();
  if (value.is_boolean()) return value.as_boolean();
  if (!value.is_array()) return std::nullopt;
  std::vector<std::string> list;
  for (const Toml& item : value.as_array()) {
    if (!item.is_string()) return std::nullopt;
    list.push_back(item.as_string().str);
  }
  return list;
}

std::string described(const Toml& value, bool secret) {
  if (secret) return fmt::format("this {}", toml::stringize(value.type()));
  if (value.is_string()) return fmt::format("the string \"{}\"", printable(value.as_string().str, 60));
  if (value.is_integer()) return fmt::format("{}", value.as_integer());
  if (value.is_boolean()) return value.as_boolean() ? "true" : "false";
  return fmt::format("this {}", toml::stringize(value.type()));
}

class FileReader {
public:
  FileReader(Config& config, fs::path file) : config_(config), rows_(rows_of(config)), file_(std::move(file)) {}

  void apply(const Toml& root) {
    // Top-level keys first, so that a section's key wins over its classic upper-case name.
    for (const auto& [name, value] : root.as_table())
      if (!value.is_table()) apply_top_level(name, value);
    for (const auto& [name, value] : root.as_table())
      if (value.is_table()) apply_section(name, value);
  }

private:
  void apply_top_level(const std::string& name, const Toml& value) {
    for (const Row& row : rows_)
      if ((row.section.empty() && row.key == name) || row.has_classic_name(name)) return set(row, value);
    if (is_section(name))
      throw ConfigError(fmt::format("{}: {} must be a section, not {}", where(file_, value), name, described(value, false)),
                        fmt::format("Write [{}] on a line of its own and its keys below it.", name));
    warn_unknown(name, name, value);
  }

  void apply_section(const std::string& section, const Toml& table) {
    if (!is_section(section)) {
      const auto known = nearest(section, sections());
      config_.warnings.push_back(fmt::format("{}: unknown section [{}] is ignored{}", where(file_, table), printable(section, 60),
                                             known ? fmt::format("; did you mean [{}]?", *known) : ""));
      return;
    }
    for (const auto& [key, value] : table.as_table()) {
      const auto row = std::find_if(rows_.begin(), rows_.end(), [&, &key = key](const Row& r) { return r.section == section && r.key == key; });
      if (row != rows_.end()) set(*row, value);
      else warn_unknown(key, section + "." + key, value);
    }
  }

  void set(const Row& row, const Toml& value) {
    const auto raw = raw_of(value);
    if (!raw || !assign(row, *raw))
      throw ConfigError(fmt::format("{}: {} must be {}, not {}", where(file_, value), row.name(), expected(row), described(value, row.secret)));
    config_.origin[row.name()] = file_.string();
  }

  // The same section first, then the same key elsewhere, then whatever is closest.
  void warn_unknown(const std::string& key, const std::string& full, const Toml& value) {
    std::vector<std::string> names, keys;
    std::optional<std::string> known;
    for (const Row& row : rows_) {
      names.push_back(row.name());
      keys.emplace_back(row.key);
      if (row.key == to_lower(key)) known = row.name();
    }
    if (!known) known = nearest(full, names);
    if (const auto near_key = nearest(key, keys); !known && near_key)
      known = names[static_cast<size_t>(std::find(keys.begin(), keys.end(), *near_key) - keys.begin())];
    config_.warnings.push_back(fmt::format("{}: unknown key {} is ignored{}", where(file_, value), printable(full, 80),
                                           known ? fmt::format("; did you mean {}?", *known) : ""));
  }

  bool is_section(std::string_view name) const {
    return !name.empty() && std::any_of(rows_.begin(), rows_.end(), [&](const Row& row) { return row.section == name; });
  }
  std::vector<std::string> sections() const {
    std::vector<std::string> names;
    for (const Row& row : rows_) names.emplace_back(row.section);
    return names;
  }

  Config& config_;
  std::vector<Row> rows_;
  fs::path file_;
};

// Throws IoError; the caller knows whether the file was asked for.
std::string read_text(const fs::path& file) {
  const std::string action = "read the configuration file " + file.string();
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) throw IoError(action, errno);
  if (S_ISDIR(info.st_mode)) throw IoError(action, EISDIR);
  std::ifstream in(file, std::ios::binary);
  if (!in) throw IoError(action, errno);
  std::string text(kMaxFileBytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.size() > kMaxFileBytes)
    throw ConfigError(fmt::format("cannot read the configuration file {}: it is larger than 1 MB", file.string()));
  return text;
}

Toml parse_toml(std::string text, const fs::path& file) {
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  for (size_t at = 0; (at = text.find("\r\n", at)) != std::string::npos;) text.erase(at, 1);
  const auto line_of = [&](std::string::const_iterator at) { return std::count(text.cbegin(), at, '\n') + 1; };
  if (const size_t nul = text.find('\0'); nul != std::string::npos)
    throw ConfigError(fmt::format("{}:{}: this is not a text file (it contains a NUL character)", file.string(), line_of(text.cbegin() + static_cast<std::ptrdiff_t>(nul))));
  // Not left to the library: where it finds out in a literal string, version 3.7.1 reads memory that is not its own.
  if (const std::string fixed = valid_utf8(text); fixed != text)
    throw ConfigError(fmt::format("{}:{}: this is not valid TOML: it is not UTF-8", file.string(), line_of(std::mismatch(text.cbegin(), text.cend(), fixed.cbegin(), fixed.cend()).first)),
                      "Save the file as UTF-8.");
  if (trim(text).empty()) return Toml(Toml::table_type{});
  std::istringstream in(text + "\n");
  try {
    return toml::parse<toml::discard_comments, std::map, std::vector>(in, file.string());
  } catch (const toml::exception& error) {
    // what() is a drawing of several lines; the first one says it.
    std::string_view first = error.what();
    first = first.substr(0, first.find('\n'));
    for (const std::string_view prefix : {"[error] ", "toml::parse_toml_file: ", "toml::parse_table: ", "toml::insert_value: ", "toml::"})
      if (first.starts_with(prefix)) first.remove_prefix(prefix.size());
    throw ConfigError(fmt::format("{}:{}:{}: this is not valid TOML: {}", file.string(), error.location().line(),
                                  error.location().column(), printable(first, 300)),
                      "Texts need quotes, and every key may occur only once.");
  } catch (const std::exception& error) {
    throw ConfigError(fmt::format("{}: this is not valid TOML: {}", file.string(), printable(error.what(), 300)));
  }
}

struct Choice {
  fs::path file;
  bool asked_for = false;  // then it must be readable
};

std::optional<Choice> choose_file(const std::optional<fs::path>& flag) {
  if (flag) return Choice{absolute_path(flag->string()), true};
  for (const char* variable : {"RIVERBOX_CONFIG", "HAKURIVER_CONFIG"})
    if (const char* value = std::getenv(variable); value && *value) return Choice{absolute_path(value), true};
  for (const fs::path& file : {home_dir() / ".riverbox/config.toml", home_dir() / ".hakuriver/config.toml",
                               fs::path("/etc/riverbox/config.toml")}) {
    std::error_code ignored;
    if (fs::symlink_status(file, ignored).type() != fs::file_type::not_found && !ignored) return Choice{file, false};
  }
  return std::nullopt;
}

void warn_if_token_is_readable(Config& config) {
  const auto origin = config.origin.find("security.token");
  struct stat info {};
  if (origin == config.origin.end() || config.security.token.empty() || ::stat(config.file.c_str(), &info) != 0) return;
  if (info.st_mode & 077)
    config.warnings.push_back(fmt::format("{}: other users can read the token in this file; run: chmod 600 {}", config.file.string(),
                                          shell_quoted(config.file.string())));
}

void apply_file(Config& config, const std::optional<fs::path>& flag) {
  const auto choice = choose_file(flag);
  if (!choice) return;
  std::string text;
  try {
    text = read_text(choice->file);
  } catch (const IoError& error) {
    // The file of another user (0600, with a token) must not keep this one from working.
    if (!choice->asked_for && error.error_number() == EACCES) {
      config.warnings.push_back(fmt::format("{}; the defaults are used", error.fact()));
      return;
    }
    throw ConfigError(error.fact(), error.error_number() == ENOENT ? "Check --config and the variables RIVERBOX_CONFIG and HAKURIVER_CONFIG." : "");
  }
  config.file = choice->file;
  FileReader(config, choice->file).apply(parse_toml(std::move(text), choice->file));
  warn_if_token_is_readable(config);
}

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

std::string toml_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\', out += c;
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) out += fmt::format("\\u{:04X}", static_cast<unsigned char>(c));
    else out += c;
  }
  return out + "\"";
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
    std::visit([&](auto* field) { *field = *std::get<decltype(field)>(theirs[i].field); }, mine[i].field);
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
