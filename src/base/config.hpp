// Configuration: flags > RIVERBOX_<SECTION>_<KEY> > file > defaults (design, section 4).
// The file is the first of --config PATH, $RIVERBOX_CONFIG, $HAKURIVER_CONFIG, ~/.riverbox/config.toml,
// ~/.hakuriver/config.toml, /etc/riverbox/config.toml. The TOML keys of classic HakuRiver keep their names.
#pragma once
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace riverbox {

struct Config {
  struct Network {
    std::string host_bind_ip = "0.0.0.0";
    std::uint16_t host_port = 8000;
    std::string host_reachable_address = "127.0.0.1";
    std::uint16_t host_ssh_proxy_port = 8002;
    std::string unix_socket;           // of the host, for commands on its machine; "none": none; default: see unix_socket()
    int max_connections_per_peer = 512;  // of one address, of IPv6 one /64; the host's own machine is not counted
    std::string runner_address;        // classic; riverbox runners dial in, so it is only shown
    std::uint16_t runner_port = 8001;  // likewise
  } network;
  struct Paths {
    std::filesystem::path shared_dir;      // default <state_dir>/shared
    std::filesystem::path local_temp_dir;  // default <state_dir>/local_temp
    std::filesystem::path state_dir;       // default: see default_state_dir()
    std::string numactl_path;
    std::string host_log_file, runner_log_file;
  } paths;
  struct Database {
    std::filesystem::path db_file;  // default <state_dir>/host.db
  } database;
  struct Timing {
    std::chrono::seconds heartbeat_interval{5};
    int heartbeat_timeout_factor = 6;
    std::chrono::seconds cleanup_check_interval{10};
    std::chrono::seconds lost_after{600};  // without a word of their node, tasks are called lost; 0 = never
    std::string on_partition = "keep";     // what becomes of a task whose node cannot reach the host: keep, stop
    std::chrono::seconds lease{300};       // after so long without a word of the host a node ends those that are to stop
    std::chrono::seconds resource_check_interval{1};
  } timing;
  struct Retention {
    int tasks_days = 365;  // after its end a task is known so long; 0 = for ever
    int logs_days = 0;     // its output is kept so long; 0 = for ever
    int events_days = 30;  // what has happened is known so long; 0 = as long as there is room
  } retention;
  struct Environment {
    std::string runner_user;
  } environment;
  struct Docker {
    std::string prefix = "hakuriver";  // or "kohakuriver"
    std::string endpoint;              // empty: $DOCKER_HOST, else unix:///var/run/docker.sock
    std::string container_dir;         // default <prefix>-containers
    std::string default_container_name = "hakuriver-base";
    std::string initial_base_image = "python:3.12-alpine";
    bool tasks_privileged = false;
    int tasks_pids_limit = 16384;      // processes and threads of one task; 0 = no limit
    std::string tasks_network;         // that their containers join; empty: <prefix>-net, made when it is missing
    std::string tasks_subnet = "172.30.0.0/16";  // of <prefix>-net
    std::vector<std::string> additional_mounts;
    int keep_versions = 1;
    std::string compression = "none";  // of the layers in archives: none, gzip
    int max_layers = 40;
    bool remove_superseded_images = true;
    bool preload = true;  // a new version goes to the nodes that used the environment lately
    std::chrono::seconds image_sync_timeout{600};  // also $DOCKER_IMAGE_SYNC_TIMEOUT
  } docker;
  struct Tasks {
    bool allow_privileged = false;            // what those may ask for who are not administrators
    std::vector<std::string> allowed_mounts;  // likewise: "PATH" or "PATH:ro"
    std::uint64_t max_output = 1ull << 30;    // bytes that are kept of each stream of an attempt; 0 = all
  } tasks;
  struct Vps {  // as KohakuRiver calls them
    bool auto_snapshot_on_stop = false;  // of those that their user stops
    bool auto_restore_on_create = true;  // what was removed from outside begins again as its newest snapshot
    int max_snapshots_per_vps = 3;       // older ones go; 0 = all stay
    bool allow_ssh_without_key = false;  // mode "none": whoever reaches its SSH server is root in it
  } vps;
  struct Security {
    std::string auth = "token";  // or "none"
    std::string token;           // given in the file or $RIVERBOX_TOKEN
    std::filesystem::path token_file;  // default ~/.riverbox/token
    std::string tls = "off";  // or "auto": with a certificate that the host makes for itself; "files": with the two below
    std::filesystem::path tls_certificate, tls_key;
    std::vector<std::string> local_users;  // who may come over the unix socket: "NAME:ROLE", "@GROUP:ROLE", "*:ROLE"
    std::vector<std::string> allowed_origins, allowed_hosts;
    std::string signatures = "warn";  // of versions, before they are loaded: require, warn, off
  } security;
  struct Runner {
    std::string name;  // default: the machine's host name
    std::string tunnel_gateway;     // ADDRESS:PORT where containers come over TCP; empty: by their sockets only
    bool allow_host_tasks = false;  // tasks without a container run here, as environment.runner_user
  } runner;
  struct Log {
    std::string level = "info";  // or "debug", "warning", "error"; also $RIVERBOX_LOG
  } log;
  std::string host_url;  // --host / $RIVERBOX_HOST; empty: from network.host_reachable_address and host_port

  std::filesystem::path file;                 // which file was read; empty: none
  std::vector<std::string> warnings;          // unknown keys with the nearest known one, ...; the caller prints them
  std::map<std::string, std::string> origin;  // "section.key" -> "default" | "<file>" | "$RIVERBOX_..." | "--flag"

  // Reads file and environment. `flag_path` is --config and means "use this file". Throws ConfigError (missing file,
  // bad TOML with line and column, wrong type). An empty file and a BOM are fine.
  static Config load(const std::optional<std::filesystem::path>& flag_path);

  std::string url() const;                                // of the host, without trailing slash
  std::filesystem::path unix_socket() const;              // of the host; empty: none
  std::filesystem::path container_dir() const;            // <shared_dir>/<container_dir>
  // Every key with its value as TOML text and origin, in file order: for `riverbox config show`. The token is redacted.
  struct Shown {
    std::string key, value, origin;
    bool live = false;  // a daemon takes a change over on SIGHUP
  };
  std::vector<Shown> show() const;
  // What is not the same in `next`, as it is there.
  std::vector<Shown> changed_in(const Config& next) const;
  // This one, with those values of `next` that a daemon can take over while it runs.
  Config with_live_values_of(const Config& next) const;
  std::string origin_of(const std::string& key) const;
};

// "node0" -> "node0:8000", "fd00::1" -> "[fd00::1]:8000"; a port that is written already stays.
std::string authority_of(std::string host, std::uint16_t port);

// $STATE_DIRECTORY (systemd), $XDG_STATE_HOME/riverbox, /var/lib/riverbox for root, ~/.local/state/riverbox.
std::filesystem::path default_state_dir();
std::filesystem::path home_dir();  // $HOME, else the passwd entry

}  // namespace riverbox
