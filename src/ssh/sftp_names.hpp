// What the sftp server says about files: attributes, names, long names as `ls -l` shows them.
#pragma once
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ssh/sftp_packet.hpp"

namespace riverbox::ssh::sftp {

struct Name {
  std::string name, long_name;
  Attributes attributes;
};

Attributes attributes_of(const struct stat& info);
std::string long_name(std::string_view name, const struct stat& info);
std::string names_answer(std::uint32_t id, const std::vector<Name>& names);
std::string name_answer(std::uint32_t id, std::string_view path);  // of one path, which is all that there is to say
std::string statvfs_answer(std::uint32_t id, const struct statvfs& info);

std::string handle_text(std::uint64_t number);
std::optional<std::uint64_t> handle_number(std::string_view handle);

// Absolute, without links; the last name need not exist. nullopt: errno says why.
std::optional<std::string> real_path(const std::string& path);
// "~" and "~/x" with $HOME in its place.
std::string with_home(const std::string& path);
// False, and errno, also when the new name exists: that is how version 3 has it.
bool rename_to_new(const std::string& from, const std::string& to);

}  // namespace riverbox::ssh::sftp
