// The keys of the configuration, one row for each. File, environment, warnings, `config show` and what SIGHUP takes over all come from it.
#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/config.hpp"

namespace riverbox::config_table {

struct Row {
  using Field = std::variant<std::string*, std::filesystem::path*, std::uint16_t*, int*, std::uint64_t* /* a size in bytes */, std::chrono::seconds*, bool*, std::vector<std::string>*>;
  std::string_view section, key;
  Field field;
  std::vector<std::string_view> choices = {};  // allowed texts; empty: any
  bool secret = false;
  std::int64_t least = 1;  // of numbers
  bool live = false;       // a daemon takes a change over on SIGHUP; else it has to be started again

  std::string name() const;      // "section.key"
  std::string variable() const;  // "RIVERBOX_SECTION_KEY"
  // The attribute of HakuRiver's configuration classes that `--config` files could set at top level.
  bool has_classic_name(std::string_view upper) const;
};

// They point into `config`, in file order.
std::vector<Row> rows_of(Config& config);

// One value as it comes from a file or a variable.
using Raw = std::variant<std::string, std::int64_t, bool, std::vector<std::string>>;
// False: it does not fit the row.
bool assign(const Row& row, const Raw& raw);
// "a whole number from 0 to 65535", for messages.
std::string expected(const Row& row);
std::string as_toml(const Row& row);  // a secret is redacted
// Of the same row in two configurations.
bool same(const Row& one, const Row& other);
void copy(const Row& from, const Row& to);

// From the working directory; "~" is the home.
std::filesystem::path absolute_path(std::string_view text);

}  // namespace riverbox::config_table
