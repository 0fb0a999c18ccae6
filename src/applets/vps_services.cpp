#include "applets/vps_services.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "base/error.hpp"
#include "base/log.hpp"
#include "os/atomic_file.hpp"
#include "os/fd.hpp"
#include "os/users.hpp"

extern char** environ;

namespace riverbox::applets {

namespace {

namespace fs = std::filesystem;

constexpr auto kAtOnce = std::chrono::seconds(3);    // what ends sooner has failed
constexpr auto kLongest = std::chrono::seconds(30);  // between two starts of what fails
constexpr int kForeignTries = 3;                     // of the image's own server of SSH, before ours takes its place
constexpr size_t kMaxKeyBytes = 1 << 20;

// From the runner (runner/container_spec.cpp, runner/doors.cpp), read-only.
constexpr const char* kTunnelClient = "/usr/local/bin/tunnel-client";
constexpr const char* kGivenKeys = "/run/riverbox/ssh/authorized_keys";
constexpr const char* kHostKeyFolder = "/run/riverbox/ssh";
constexpr const char* kHostKey = "/run/riverbox/ssh/host_ed25519_key";
constexpr const char* kDropbearKey = "/run/riverbox/ssh/dropbear_ed25519_host_key";
constexpr const char* kKeys = "/etc/riverbox/authorized_keys";  // as root has it, for servers that look whose it is

os::Command command_of(std::string file, std::vector<std::string> argv) {
  os::Command command{.file = std::move(file), .argv = std::move(argv), .env = {}, .working_dir = "/"};
  for (char** variable = environ; *variable; ++variable) command.env.emplace_back(*variable);
  return command;
}

os::Command own_server(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"riverbox", "ssh-server"});
  return command_of(fs::read_symlink("/proc/self/exe").string(), std::move(arguments));
}

std::string find_program(const std::string& name) {
  for (const char* folder : {"/usr/sbin/", "/usr/local/sbin/", "/sbin/", "/usr/bin/", "/usr/local/bin/", "/bin/"})
    if (const std::string path = folder + name; ::access(path.c_str(), X_OK) == 0) return path;
  return {};
}

// Dropbear knows no other place for them than the user's home, where others may stand as well.
void add_to_home(const std::string& keys) {
  const auto root = os::find_user("root");
  const fs::path folder = fs::path(root ? root->home : "/root") / ".ssh", file = folder / "authorized_keys";
  std::error_code absent;
  std::string text = fs::exists(file, absent) ? os::read_file(file, kMaxKeyBytes) : "";
  if (text.find(keys) != std::string::npos) return;
  if (!text.empty() && text.back() != '\n') text += '\n';
  fs::create_directories(folder);
  fs::permissions(folder, fs::perms(0700));
  os::write_atomically(file, text + keys, 0600);
}

os::Command openssh(const std::string& sshd) {
  ::mkdir("/run/sshd", 0755);  // where it locks itself in before the login; it is there already, or it says so itself
  return command_of(sshd, {sshd, "-D", "-e", "-h", kHostKey, "-o", "ListenAddress=127.0.0.1:22", "-o", "PermitRootLogin=prohibit-password", "-o", "PubkeyAuthentication=yes",
                           "-o", "PasswordAuthentication=no", "-o", "AuthorizedKeysFile=" + std::string(kKeys) + " .ssh/authorized_keys"});
}

os::Command dropbear(const std::string& program) { return command_of(program, {program, "-F", "-E", "-s", "-p", "127.0.0.1:22", "-r", kDropbearKey}); }

os::Command ssh_with_keys(int failures) {
  const std::string keys = os::read_file(kGivenKeys, kMaxKeyBytes);
  fs::create_directories(fs::path(kKeys).parent_path());
  os::write_atomically(fs::path(kKeys), keys, 0644);
  if (failures == kForeignTries) log::warning("vps", "the image's own SSH server does not stay up; riverbox's takes its place");
  if (failures < kForeignTries) {
    if (const auto sshd = find_program("sshd"); !sshd.empty()) return openssh(sshd);
    if (const auto program = find_program("dropbear"); !program.empty()) {
      add_to_home(keys);
      return dropbear(program);
    }
  }
  return own_server({"--host-keys", kHostKeyFolder});
}

}  // namespace

void KeptProcess::keep() {
  if (pid_ > 0 || Clock::now() < due_) return;
  started_ = Clock::now();
  try {
    pid_ = os::start_beside(command_(failures_));
  } catch (const std::exception& error) {
    log::error("vps", "cannot start the " + name_, {{"reason", error.what()}});
    ended(pid_);
  }
}

void KeptProcess::ended(pid_t pid) {
  if (pid != pid_) return;
  pid_ = -1;
  failures_ = Clock::now() - started_ < kAtOnce ? failures_ + 1 : 0;
  const auto wait = std::min<Clock::duration>(std::chrono::milliseconds(100) * (1 << std::min(failures_, 10)), kLongest);
  due_ = Clock::now() + wait;
}

std::vector<KeptProcess> vps_services(SshAccess ssh) {
  std::vector<KeptProcess> services;
  services.emplace_back("tunnel", [](int) { return command_of(kTunnelClient, {"tunnel-client"}); });
  if (ssh == SshAccess::keys) services.emplace_back("SSH server", ssh_with_keys);
  // No server of an image can be told to ask for nothing without changing its users.
  if (ssh == SshAccess::anybody) services.emplace_back("SSH server", [](int) { return own_server({"--no-auth", "--host-keys", kHostKeyFolder}); });
  return services;
}

}  // namespace riverbox::applets
