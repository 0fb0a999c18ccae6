#include "doctor/situation.hpp"

#include <pwd.h>
#include <unistd.h>

#include "base/strings.hpp"
#include "net/url.hpp"
#include "os/process.hpp"

namespace riverbox::doctor {
namespace {

namespace fs = std::filesystem;

// The database of a runner, or the identity that it has joined with.
bool has_runner_state(const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (entry->path().filename().string().starts_with("runner-")) return true;
  return false;
}

bool is_this_machine(const std::string& host) {
  const std::string own = to_lower(os::host_name());
  return host == "localhost" || host.starts_with("127.") || host == "::1" || host == own || host == own.substr(0, own.find('.'));
}

std::string user_name() {
  const passwd* entry = ::getpwuid(::geteuid());
  return entry ? entry->pw_name : std::to_string(::geteuid());
}

}  // namespace

bool Situation::remote_host() const { return !is_this_machine(net::HttpUrl::parse(config.url()).host); }

docker::Endpoint Situation::endpoint() const {
  return docker::Endpoint::configured(config.docker.endpoint);
}

std::string Situation::text() const {
  if (host && runner) return "host and runner";
  return host ? "host" : runner ? "runner" : "client";
}

Situation situation_of(Config config) {
  Situation out{.config = std::move(config), .user = user_name()};
  std::error_code ignored;
  out.runner = has_runner_state(out.config.paths.state_dir);
  out.host = fs::exists(out.config.database.db_file, ignored) || (!out.runner && !out.remote_host());
  return out;
}

std::string as_root(const std::string& command) { return (::geteuid() == 0 ? "" : "sudo ") + command; }

std::string start_command(const std::string& applet, bool again) {
  if (::access("/run/systemd/system", F_OK) == 0) return as_root(std::string("systemctl ") + (again ? "restart" : "start") + " riverbox-" + applet);
  return "riverbox " + applet;
}

}  // namespace riverbox::doctor
