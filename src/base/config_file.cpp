#include "base/config_file.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <toml.hpp>

#include "base/config_table.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"

namespace riverbox {
namespace {

namespace fs = std::filesystem;
using namespace config_table;
using Toml = toml::basic_value<toml::discard_comments, std::map, std::vector>;

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

}  // namespace

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

}  // namespace riverbox
