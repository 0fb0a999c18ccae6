#include "applets/ssh_access.hpp"

#include <system_error>

#include "base/config.hpp"
#include "base/error.hpp"
#include "base/ssh_key.hpp"
#include "base/strings.hpp"
#include "os/fd.hpp"

namespace riverbox::applets {

namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxKeyFile = 64 << 10;

// For a shell, and for ssh, which takes % for the beginning of something else.
std::string quoted(const std::string& word) {
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? "'\\''" : c == '%' ? "%%" : std::string(1, c);
  return out + "'";
}

}  // namespace

std::vector<std::pair<std::string, std::string>> ssh_settings(const Arguments& arguments, TaskId id) {
  std::string command = quoted(fs::read_symlink("/proc/self/exe").string()) + " ssh";
  if (const auto config = arguments.find("--config")) command += " --config " + quoted(fs::absolute(*config).string());
  if (const auto host = arguments.find("--host")) command += " --host " + quoted(*host);
  std::vector<std::pair<std::string, std::string>> settings{{"User", "root"},
                                                            {"HostKeyAlias", "riverbox-vps-" + id.str()},  // a name may be another VPS's later
                                                            {"StrictHostKeyChecking", "accept-new"},      // the way there is the host's, and it knows who is who
                                                            {"ProxyCommand", command + " --stdio " + id.str()}};
  std::error_code absent;
  if (const auto key = generated_key(id); fs::exists(key, absent)) settings.emplace_back("IdentityFile", key.string());
  return settings;
}

fs::path generated_key(TaskId id) { return home_dir() / ".riverbox/keys" / ("vps-" + id.str()); }

fs::path usual_public_key() {
  for (const char* name : {"id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub"}) {
    std::error_code absent;
    if (const auto path = home_dir() / ".ssh" / name; fs::exists(path, absent)) return path;
  }
  return {};
}

void add_ssh(Json& wish, const Arguments& arguments) {
  auto key_file = arguments.find("--ssh-key");
  const std::string mode = arguments.value("--ssh", key_file ? "upload" : "");
  if (key_file && mode != "upload") throw UsageError("--ssh-key is for --ssh upload only.");
  if (!key_file && (mode == "upload" || mode.empty())) {
    if (const auto usual = usual_public_key(); !usual.empty()) key_file = usual.string();
    else if (mode.empty()) return;  // nobody asked for SSH
    else throw UsageError("there is no public key in ~/.ssh.", "Name one with --ssh-key FILE, make one with ssh-keygen, or have one made: --ssh generate.");
  }
  wish["ssh_key_mode"] = key_file ? "upload" : mode;
  if (!key_file) return;
  const std::string text = os::read_file(*key_file, kMaxKeyFile);
  try {
    parse_ssh_public_keys(text);
  } catch (const InvalidInput& error) {
    throw UsageError("'" + printable(*key_file) + "' is no public key of SSH: " + error.fact() + ".", error.next());
  }
  wish["ssh_public_key"] = text;
}

std::vector<Option> ssh_create_options() {
  return {{.names = "--ssh", .value = "MODE", .help = "upload (your public key, which is the default if you have one), generate (a key is made for you), disabled, none (no key at all, where allowed)", .complete = "upload|generate|disabled|none"},
          {.names = "--ssh-key", .value = "FILE", .help = "the public key for it, or several, a line each (the first of ~/.ssh/id_ed25519.pub, id_ecdsa.pub, id_rsa.pub)", .complete = "files"}};
}

}  // namespace riverbox::applets
