// riverbox ssh-config: what makes plain ssh, scp, rsync and editors reach VPSs by their names.
#include <algorithm>
#include <cctype>
#include <filesystem>

#include "applets/api_client.hpp"
#include "applets/commands.hpp"
#include "applets/output.hpp"
#include "applets/ssh_access.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "os/atomic_file.hpp"
#include "os/fd.hpp"
#include "os/folders.hpp"

namespace riverbox::applets {

namespace {

namespace fs = std::filesystem;

constexpr const char* kFileName = "riverbox_config";
constexpr const char* kInclude = "Include riverbox_config\n";
constexpr size_t kMaxConfig = 4 << 20;

// What ssh takes for a name and for nothing else: no pattern, no second one, no other line.
bool is_plain(const std::string& name) {
  return !name.empty() && std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.'; });
}

// Another user's VPS does not get the bare name that he chose: it might be that of a machine which ssh reaches already.
std::string host_name(const Json& vps, const std::string& id, const std::string& user) {
  const std::string name = text_of(vps, "name", id), owner = text_of(vps, "owner", "");
  return owner == user ? name : owner + "." + name;
}

std::string entries(const Arguments& arguments, ApiClient& api) {
  const std::string user = text_of(api.get("/api/whoami"), "user", "");
  std::string out = "# VPSs at " + printable(api.url()) + ", written by riverbox ssh-config. Say it again when VPSs have come or gone.\n";
  for (const Json& vps : api.get("/api/vps")) {
    if (text_of(vps, "ssh_key_mode", "disabled") == "disabled") continue;
    const TaskId id = TaskId::parse(text_of(vps, "task_id"));
    const std::string name = host_name(vps, id.str(), user);
    out += "\nHost " + (is_plain(name) ? name : id.str()) + "\n";
    for (const auto& [key, value] : ssh_settings(arguments, id)) out += "  " + key + " " + value + "\n";
  }
  return out;
}

// Beside the user's own file, which gets one line, at its head: what stands behind a Host counts for that one only.
fs::path write_entries(const std::string& text) {
  const fs::path folder = home_dir() / ".ssh", ours = folder / kFileName, theirs = folder / "config";
  if (const auto error = os::make_private_folders(folder)) throw IoError("make the folder " + folder.string(), error.value());
  os::write_atomically(ours, text, 0600);
  std::error_code absent;
  const fs::path real = fs::is_symlink(theirs, absent) ? fs::canonical(theirs) : theirs;  // it may lie where dotfiles are kept
  const std::string before = fs::exists(real, absent) ? os::read_file(real, kMaxConfig) : "";
  if (before.find(kInclude) == std::string::npos) os::write_atomically(real, kInclude + before, 0600);
  return ours;
}

}  // namespace

const Command& ssh_config_command() {
  static const Command command{
      .name = "ssh-config",
      .examples = "{ssh-config} --write\n"
                  "ssh my-box\n"
                  "rsync -a data/ my-box:data/",
      .details = "Prints an entry of ssh_config(5) for each VPS with SSH. With --write it goes to ~/.ssh/riverbox_config, which\n"
                 "~/.ssh/config is made to include. VPSs that others share with you are called OWNER.NAME in it.",
      .options = {config_option(),
                  {.names = "--host", .value = "URL", .help = "the riverbox host, such as http://node0:8000"},
                  {.names = "--write", .help = "into ~/.ssh, instead of stdout"}},
  };
  return command;
}

int run_ssh_config(const Invocation& invocation) {
  const Arguments arguments = parse(ssh_config_command(), invocation);
  ApiClient api(client_config(arguments));
  const std::string text = entries(arguments, api);
  if (!arguments.has("--write")) write_out(text);
  else write_err("written: " + write_entries(text).string() + "\n");
  return 0;
}

}  // namespace riverbox::applets
