#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>

#include "base/config.hpp"
#include "../mentions.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"

using namespace riverbox;
namespace fs = std::filesystem;

namespace {

// A home folder of its own, no RIVERBOX_* variables, and all as before afterwards.
class Sandbox {
public:
  Sandbox() : dir_(fs::temp_directory_path() / ("riverbox-config-" + random_hex(6))) {
    fs::create_directories(dir_);
    set("HOME", dir_.string());
    for (const char* name : {"RIVERBOX_CONFIG", "HAKURIVER_CONFIG", "XDG_STATE_HOME", "STATE_DIRECTORY", "RIVERBOX_HOST", "RIVERBOX_TOKEN"}) {
      remember(name);
      ::unsetenv(name);
    }
  }
  ~Sandbox() {
    for (const auto& [name, value] : saved_) {
      if (value) ::setenv(name.c_str(), value->c_str(), 1);
      else ::unsetenv(name.c_str());
    }
    fs::remove_all(dir_);
  }
  void set(const std::string& name, const std::string& value) {
    remember(name);
    ::setenv(name.c_str(), value.c_str(), 1);
  }
  fs::path write(const std::string& text, const std::string& name = "c.toml") const {
    const fs::path file = dir_ / name;
    fs::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
    return file;
  }
  const fs::path& dir() const { return dir_; }

private:
  void remember(const std::string& name) {
    const char* value = std::getenv(name.c_str());
    saved_.emplace(name, value ? std::optional<std::string>(value) : std::nullopt);
  }
  fs::path dir_;
  std::map<std::string, std::optional<std::string>> saved_;
};

std::string refusal(const std::function<void()>& work) {
  try {
    work();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "(no error)";
}

std::string shown(const Config& config, std::string_view key) {
  for (const auto& row : config.show())
    if (row.key == key) return row.value;
  return "(absent)";
}

}  // namespace

TEST_CASE("without any file the defaults make sense") {
  Sandbox sandbox;
  const Config config = Config::load(std::nullopt);
  if (!fs::exists("/etc/riverbox/config.toml")) {
    CHECK(config.network.host_port == 8000);
    CHECK(config.url() == "http://127.0.0.1:8000");
    CHECK(config.file.empty());
    CHECK(config.warnings.empty());
    CHECK(config.paths.shared_dir == config.paths.state_dir / "shared");
    CHECK(config.container_dir() == config.paths.shared_dir / "hakuriver-containers");
    CHECK(config.security.token_file == sandbox.dir() / ".riverbox/token");
    CHECK_FALSE(config.runner.name.empty());
    CHECK(config.origin.at("network.host_port") == "default");
  }
}

TEST_CASE("a classic HakuRiver file means what it meant") {
  Sandbox sandbox;
  const Config config = Config::load(sandbox.write(R"(
[network]
host_bind_ip = "0.0.0.0"
host_port = 9000
host_reachable_address = "10.0.0.1"
runner_address = "10.0.0.2"
runner_port = 8001
host_ssh_proxy_port = 8002
[paths]
shared_dir = "/mnt/share"
local_temp_dir = "~/tmp"
numactl_path = ""
host_log_file = "host.log"
runner_log_file = "runner.log"
[database]
db_file = "relative/x.db"
[timing]
heartbeat_interval = 3
heartbeat_timeout_factor = 4
cleanup_check_interval = 10
[environment]
runner_user = ""
[docker]
container_dir = "envs"
tasks_privileged = true
additional_mounts = ["/a:/b", "/c:/d:ro"]
)"));
  CHECK(config.warnings.empty());
  CHECK(config.url() == "http://10.0.0.1:9000");
  CHECK(config.container_dir() == "/mnt/share/envs");
  CHECK(config.paths.local_temp_dir == sandbox.dir() / "tmp");
  CHECK(config.database.db_file == fs::current_path() / "relative/x.db");
  CHECK(config.timing.heartbeat_interval == std::chrono::seconds(3));
  CHECK(config.docker.additional_mounts == std::vector<std::string>{"/a:/b", "/c:/d:ro"});
  CHECK(config.docker.tasks_privileged);
}

TEST_CASE("0 where it means never or for ever") {
  Sandbox sandbox;
  const Config config = Config::load(sandbox.write("[timing]\nlost_after = 0\n[retention]\ntasks_days = 0\nlogs_days = 0\n"));
  CHECK(config.timing.lost_after.count() == 0);
  CHECK(config.retention.tasks_days == 0);
}

TEST_CASE("upper-case attribute names at top level, as HakuRiver's --config took them") {
  Sandbox sandbox;
  const Config config = Config::load(sandbox.write(
      "HOST_PORT = 9001\nSHARED_DIR = \"/mnt/x\"\nHOST_REACHABLE_ADDRESS = \"h\"\nDB_FILE = \"/x.db\"\nHEARTBEAT_INTERVAL_SECONDS = 2\n"));
  CHECK(config.warnings.empty());
  CHECK(config.url() == "http://h:9001");
  CHECK(config.paths.shared_dir == "/mnt/x");
  CHECK(config.database.db_file == "/x.db");
  CHECK(config.timing.heartbeat_interval.count() == 2);
  const Config both = Config::load(sandbox.write("HOST_PORT = 9001\n[network]\nhost_port = 9002\n"));
  CHECK(both.network.host_port == 9002);
}

TEST_CASE("the other prefix brings its own folder") {
  Sandbox sandbox;
  CHECK(Config::load(sandbox.write("[docker]\nprefix = \"kohakuriver\"\n")).docker.container_dir == "kohakuriver-containers");
}

// fault: config-odd
TEST_CASE("empty files, byte order marks and carriage returns are fine") {
  Sandbox sandbox;
  CHECK(Config::load(sandbox.write("")).network.host_port == 8000);
  CHECK(Config::load(sandbox.write("\xEF\xBB\xBF")).network.host_port == 8000);
  CHECK(Config::load(sandbox.write("# only a comment")).network.host_port == 8000);
  const Config config = Config::load(sandbox.write("\xEF\xBB\xBF[network]\r\nhost_port = 9000\r\n\r\n[paths]\r\nshared_dir = \"/s\""));
  CHECK(config.network.host_port == 9000);
  CHECK(config.paths.shared_dir == "/s");
  CHECK(config.warnings.empty());
}

// fault: config-odd
TEST_CASE("unknown keys are warned about with file, line and the nearest known one") {
  Sandbox sandbox;
  const auto warning = [&](const std::string& text) {
    const Config config = Config::load(sandbox.write(text));
    REQUIRE(config.warnings.size() == 1);
    return config.warnings.front();
  };
  std::string text = warning("[network]\n\nhost_prot = 9000\n");
  CHECK(mentions(text, "c.toml:3:"));
  CHECK(mentions(text, "network.host_prot"));
  CHECK(mentions(text, "did you mean network.host_port?"));
  CHECK(mentions(warning("[netwrok]\nhost_port = 1\n"), "did you mean [network]?"));
  CHECK(mentions(warning("[paths]\nhost_port = 1\n"), "did you mean network.host_port?"));
  CHECK(mentions(warning("host_port = 1\n"), "did you mean network.host_port?"));
  CHECK_FALSE(mentions(warning("[network]\nzzzzzzzzzzzz = 1\n"), "did you mean"));
  CHECK_FALSE(mentions(warning("\"a\\u001b[31m\" = 1\n"), "\x1b"));
}

// fault: config-odd
TEST_CASE("a wrong type names file, line, key and what was expected") {
  Sandbox sandbox;
  const std::pair<const char*, const char*> cases[] = {
      {"[network]\nhost_port = \"abc\"\n", "a whole number from 0 to 65535, not the string \"abc\""},
      {"[network]\nhost_port = 70000\n", "70000"},
      {"[network]\nhost_port = -1\n", "-1"},
      {"[network]\nhost_port = 80.5\n", "network.host_port"},
      {"[network]\nhost_bind_ip = 5\n", "a string, not 5"},
      {"[timing]\nheartbeat_interval = 0\n", "a whole number of seconds, at least 1"},
      {"[timing]\nlost_after = -1\n", "a whole number of seconds, at least 0, not -1"},
      {"[timing]\non_partition = \"maybe\"\n", "\"keep\" or \"stop\""},
      {"[retention]\ntasks_days = -1\n", "a whole number, at least 0, not -1"},
      {"[docker]\ntasks_pids_limit = -1\n", "a whole number, at least 0"},
      {"[docker]\ntasks_privileged = \"yes\"\n", "true or false"},
      {"[docker]\nadditional_mounts = \"/a:/b\"\n", "a list of strings"},
      {"[docker]\nadditional_mounts = [1, 2]\n", "a list of strings"},
      {"[docker]\nprefix = \"other\"\n", "\"hakuriver\" or \"kohakuriver\""},
      {"[tasks]\nmax_output = \"much\"\n", "a size such as \"512M\" or \"4GiB\", or 0, not the string \"much\""},
      {"[tasks]\nmax_output = -1\n", "or 0, not -1"},
      {"[tasks]\nmax_output = true\n", "or 0, not true"},
      {"[security]\nauth = \"nope\"\n", "\"token\" or \"none\""},
      {"[paths]\nshared_dir = \"\"\n", "a path in quotes"},
      {"[paths]\nshared_dir = { a = 1 }\n", "paths.shared_dir"},
  };
  for (const auto& [given, expected] : cases) {
    const std::string text = given;
    CAPTURE(text);
    const fs::path file = sandbox.write(text);
    const std::string message = refusal([&] { Config::load(file); });
    CAPTURE(message);
    CHECK(mentions(message, file.string() + ":2"));
    CHECK(mentions(message, expected));
  }
  CHECK(mentions(refusal([&] { Config::load(sandbox.write("network = 5\n")); }), "must be a section"));
}

TEST_CASE("a size is a number of bytes or a text with a unit") {
  Sandbox sandbox;
  CHECK(Config::load(sandbox.write("")).tasks.max_output == 1ull << 30);
  CHECK(Config::load(sandbox.write("[tasks]\nmax_output = \"512M\"\n")).tasks.max_output == 512'000'000);
  CHECK(Config::load(sandbox.write("[tasks]\nmax_output = \"1.5GiB\"\n")).tasks.max_output == 3ull << 29);
  CHECK(Config::load(sandbox.write("[tasks]\nmax_output = 5000000000\n")).tasks.max_output == 5'000'000'000);
  const Config all = Config::load(sandbox.write("[tasks]\nmax_output = 0\n"));
  CHECK(all.tasks.max_output == 0);
  CHECK(shown(all, "tasks.max_output") == "0");
  sandbox.set("RIVERBOX_TASKS_MAX_OUTPUT", "4GiB");
  CHECK(Config::load(sandbox.write("")).tasks.max_output == 4ull << 30);
  sandbox.set("RIVERBOX_TASKS_MAX_OUTPUT", "four");
  CHECK(mentions(refusal([&] { Config::load(sandbox.write("")); }), "$RIVERBOX_TASKS_MAX_OUTPUT must be a size"));
}

TEST_CASE("bad TOML names file and line") {
  Sandbox sandbox;
  for (const char* text : {"[network]\nhost_port = \n", "[network]\nhost_port = 1\nhost_port = 2\n", "[network\n", "a = \"\n", "[network]\nhost_port = 1\n[network]\nhost_port = 2\n",
                           "host_bind_ip = 0.0.0.0\n", "\xff\xfe[\0n", "= 5\n", "[a]\nb = [1,\n", "a = 1\nb = {c = [1, 'd\xf6']}\n"}) {
    CAPTURE(text);
    const fs::path file = sandbox.write(text);
    const std::string message = refusal([&] { Config::load(file); });
    CAPTURE(message);
    CHECK(mentions(message, file.string() + ":"));
    CHECK(mentions(message, "not valid TOML"));
    CHECK_FALSE(mentions(message, "\n"));
  }
  CHECK(mentions(refusal([&] { Config::load(sandbox.write(std::string("a = 1\n\0", 7))); }), "not a text file"));
  CHECK(mentions(refusal([&] { Config::load(sandbox.write("a = 1\nb = 'd\xf6'\n")); }), ":2: this is not valid TOML: it is not UTF-8"));
}

TEST_CASE("a file that was asked for must be there") {
  Sandbox sandbox;
  CHECK(mentions(refusal([&] { Config::load(sandbox.dir() / "absent.toml"); }), "absent.toml"));
  CHECK(mentions(refusal([&] { Config::load(sandbox.dir()); }), "Is a directory"));
  sandbox.set("RIVERBOX_CONFIG", (sandbox.dir() / "absent2.toml").string());
  CHECK(mentions(refusal([] { Config::load(std::nullopt); }), "absent2.toml"));
  fs::create_symlink(sandbox.dir() / "nowhere", sandbox.dir() / "dangling.toml");
  CHECK(mentions(refusal([&] { Config::load(sandbox.dir() / "dangling.toml"); }), "dangling.toml"));
}

TEST_CASE("the first file of the search order is used") {
  Sandbox sandbox;
  const auto port = [] { return Config::load(std::nullopt).network.host_port; };
  sandbox.write("[network]\nhost_port = 3\n", ".hakuriver/config.toml");
  CHECK(port() == 3);
  sandbox.write("[network]\nhost_port = 4\n", ".riverbox/config.toml");
  CHECK(port() == 4);
  sandbox.set("HAKURIVER_CONFIG", sandbox.write("[network]\nhost_port = 5\n", "h.toml").string());
  CHECK(port() == 5);
  sandbox.set("RIVERBOX_CONFIG", sandbox.write("[network]\nhost_port = 6\n", "r.toml").string());
  CHECK(port() == 6);
  CHECK(Config::load(sandbox.write("[network]\nhost_port = 7\n")).network.host_port == 7);
  sandbox.set("RIVERBOX_NETWORK_HOST_PORT", "8");
  const Config config = Config::load(sandbox.write("[network]\nhost_port = 7\n"));
  CHECK(config.network.host_port == 8);
  CHECK(config.origin.at("network.host_port") == "$RIVERBOX_NETWORK_HOST_PORT");
}

TEST_CASE("variables: every kind of key, the short names, mistakes") {
  Sandbox sandbox;
  const fs::path file = sandbox.write("");
  sandbox.set("RIVERBOX_DOCKER_TASKS_PRIVILEGED", "yes");
  sandbox.set("RIVERBOX_DOCKER_ADDITIONAL_MOUNTS", "/a:/b, /c:/d:ro,");
  sandbox.set("RIVERBOX_PATHS_SHARED_DIR", "~/s");
  sandbox.set("DOCKER_IMAGE_SYNC_TIMEOUT", "42");
  sandbox.set("RIVERBOX_TOKEN", "secret");
  sandbox.set("RIVERBOX_HOST", "https://river.example/");
  sandbox.set("RIVERBOX_NETWORK_HOST_BIND_IP", "");
  Config config = Config::load(file);
  CHECK(config.docker.tasks_privileged);
  CHECK(config.docker.additional_mounts == std::vector<std::string>{"/a:/b", "/c:/d:ro"});
  CHECK(config.paths.shared_dir == sandbox.dir() / "s");
  CHECK(config.docker.image_sync_timeout.count() == 42);
  CHECK(config.security.token == "secret");
  CHECK(config.url() == "https://river.example");
  CHECK(config.network.host_bind_ip == "0.0.0.0");
  CHECK(config.warnings.empty());

  sandbox.set("RIVERBOX_NETWORK_HOST_PROT", "1");
  config = Config::load(file);
  REQUIRE(config.warnings.size() == 1);
  CHECK(mentions(config.warnings[0], "$RIVERBOX_NETWORK_HOST_PORT"));
  sandbox.set("RIVERBOX_NETWORK_HOST_PORT", "many");
  CHECK(mentions(refusal([&] { Config::load(file); }), "$RIVERBOX_NETWORK_HOST_PORT must be a whole number"));
}

TEST_CASE("zero is a value where it means none") {
  Sandbox sandbox;
  const Config config = Config::load(sandbox.write("[docker]\ntasks_pids_limit = 0\n[timing]\nlost_after = 0\n"));
  CHECK(config.docker.tasks_pids_limit == 0);
  CHECK(config.timing.lost_after.count() == 0);
}

TEST_CASE("the address of the host in all its spellings") {
  Config config;
  const auto url = [&](const char* text) {
    config.host_url = text;
    return config.url();
  };
  CHECK(url("") == "http://127.0.0.1:8000");
  CHECK(url("river") == "http://river:8000");
  CHECK(url("river:9") == "http://river:9");
  CHECK(url("http://river:9//") == "http://river:9");
  CHECK(url("::1") == "http://[::1]:8000");
  CHECK(url("[::1]:9") == "http://[::1]:9");
}

TEST_CASE("show lists every key as TOML, and the token never") {
  Sandbox sandbox;
  const Config config = Config::load(sandbox.write("[security]\ntoken = \"top-secret\"\n[runner]\nname = 'a\"b\\c'\n[docker]\nadditional_mounts = ['/a:/b']\n"));
  CHECK(shown(config, "security.token") == "\"***\"");
  CHECK(shown(config, "runner.name") == R"("a\"b\\c")");
  CHECK(shown(config, "docker.additional_mounts") == R"(["/a:/b"])");
  CHECK(shown(config, "network.host_port") == "8000");
  CHECK(shown(config, "docker.tasks_privileged") == "false");
  CHECK(config.show().size() > 30);
}

TEST_CASE("a token that others can read is warned about, and a wrong one is not printed") {
  Sandbox sandbox;
  const fs::path file = sandbox.write("[security]\ntoken = \"t\"\n");
  fs::permissions(file, fs::perms(0644));
  Config config = Config::load(file);
  REQUIRE(config.warnings.size() == 1);
  CHECK(mentions(config.warnings[0], "chmod 600"));
  fs::permissions(file, fs::perms(0600));
  CHECK(Config::load(file).warnings.empty());
}

TEST_CASE("what another configuration changes, and what of it a daemon takes over") {
  Sandbox box;
  const fs::path file = box.write("[docker]\nkeep_versions = 1\n");
  const Config running = Config::load(file);
  CHECK(running.changed_in(Config::load(file)).empty());
  box.write("[docker]\nkeep_versions = 4\nprefix = \"kohakuriver\"\n[security]\ntoken = \"secret\"\nallowed_hosts = [\"a\"]\n[timing]\nlost_after = 0\n");
  const Config next = Config::load(file);
  std::map<std::string, Config::Shown> changed;
  for (const auto& one : running.changed_in(next)) changed[one.key] = one;
  CHECK(changed.size() == 6);  // the folder follows the prefix
  CHECK(changed.at("docker.keep_versions").live);
  CHECK(changed.at("docker.keep_versions").value == "4");
  CHECK(changed.at("docker.keep_versions").origin == file.string());
  CHECK(changed.at("security.allowed_hosts").live);
  CHECK(changed.at("timing.lost_after").live);
  CHECK_FALSE(changed.at("docker.prefix").live);
  CHECK_FALSE(changed.at("docker.container_dir").live);
  CHECK_FALSE(changed.at("security.token").live);
  CHECK(changed.at("security.token").value == "\"***\"");
  const Config mixed = running.with_live_values_of(next);
  CHECK(mixed.docker.keep_versions == 4);
  CHECK(mixed.timing.lost_after.count() == 0);
  CHECK(mixed.security.allowed_hosts == std::vector<std::string>{"a"});
  CHECK(mixed.origin_of("docker.keep_versions") == file.string());
  CHECK(mixed.docker.prefix == "hakuriver");
  CHECK(mixed.security.token.empty());
  CHECK(running.docker.keep_versions == 1);
}

TEST_CASE("the level of the log comes from the file and from its older variable") {
  Sandbox box;
  const fs::path file = box.write("[log]\nlevel = \"debug\"\n");
  box.set("RIVERBOX_LOG", "");
  CHECK(Config::load(file).log.level == "debug");
  box.set("RIVERBOX_LOG", "ERROR");
  CHECK(Config::load(file).log.level == "error");
  box.set("RIVERBOX_LOG", "loud");
  CHECK_THROWS_AS(Config::load(file), ConfigError);
}
