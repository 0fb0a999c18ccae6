// The Docker Engine as a set of typed calls. All calls block (run them on a worker), are thread-safe, throw the errors of
// docker/errors.hpp, and obey the CancelToken. Connections are kept alive and reused between calls.
// API reference: https://docs.docker.com/reference/api/engine/ (v1.41 and newer; the version is negotiated with /_ping).
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel.hpp"
#include "base/time.hpp"
#include "docker/errors.hpp"
#include "docker/naming.hpp"
#include "docker/stream.hpp"

namespace riverbox::docker {

// Where the daemon listens. From $DOCKER_HOST, $DOCKER_TLS_VERIFY, $DOCKER_CERT_PATH as the docker CLI reads them.
struct Endpoint {
  std::string host;       // unix:///path or tcp://host:port
  bool tls = false;
  std::string cert_path;  // ca.pem, cert.pem, key.pem
  // What the configuration says, in $DOCKER_HOST's words; "": what the environment says. Throws InvalidInput.
  static Endpoint configured(std::string_view docker_host);
  static Endpoint from_environment();
  static Endpoint parse(std::string_view docker_host);  // throws InvalidInput
};

struct Version {
  std::string engine, api, min_api;
  bool api_at_least(int major, int minor) const;  // of the negotiated version
};

struct ContainerSummary {
  std::string id, name, image, image_id, status_text /* "Up 5 minutes" */, state /* "running" */;
  std::int64_t created = 0;
  Naming::Labels labels;
  std::optional<std::uint64_t> changed_bytes;  // of what differs from its image; only when it was asked for
};

struct ContainerState {
  std::string status;  // created running paused restarting removing exited dead
  bool running = false, paused = false, oom_killed = false;
  int exit_code = 0;
  std::string error, started_at, finished_at;
};

struct Container {
  std::string id, name, image_id, image /* Config.Image */;
  WallTime created;
  Naming::Labels labels;
  ContainerState state;
  std::shared_ptr<nlohmann::json> raw;  // the whole answer
};

struct Image {
  std::string id;
  std::vector<std::string> diff_ids, tags;
  WallTime created;
  std::optional<std::vector<std::string>> entrypoint, command;  // Config.Entrypoint / Cmd; nullopt = null
  std::uint64_t size_bytes = 0;
  std::string architecture, os;
};

struct Mount {
  std::string source, target;
  bool read_only = false;
};

struct ContainerSpec {
  std::string image;  // an image ID wherever the image is ours: nothing is pulled by accident
  std::optional<std::vector<std::string>> entrypoint;
  std::vector<std::string> command, env;
  std::string user, working_dir, hostname, network /* "" = default */, cpuset_cpus, cpuset_mems, log_driver;
  std::map<std::string, std::string> log_options;  // of log_driver
  Naming::Labels labels;
  std::vector<Mount> mounts;
  std::vector<std::string> cap_add;
  std::vector<int> gpus;  // DeviceRequests by id
  double cpus = 0;        // 0 = no limit
  std::uint64_t memory_bytes = 0;
  std::int64_t pids_limit = 0;
  std::string stop_signal;                           // of `docker stop`; "" = that of the image, else SIGTERM
  std::optional<std::chrono::seconds> stop_timeout;  // until SIGKILL; nullopt = that of the daemon
  std::string restart_policy;                        // "unless-stopped"; "" = it stays as it ends
  bool privileged = false, init = false, tty = false, open_stdin = false, auto_remove = false;
};

struct PullProgress {
  std::string step;  // "Downloading", "Extracting", ...; human text
  std::uint64_t current_bytes = 0, total_bytes = 0;  // summed over layers; total 0 = unknown
};
using PullCallback = std::function<void(const PullProgress&)>;

// What POST /images/load answered. A 200 may carry an error: `error` is then set.
struct LoadResult {
  std::vector<std::string> loaded;  // "name:tag" or "sha256:..." of the "Loaded image" lines
  std::string error;                // errorDetail.message or an "Error unpacking image" line
};

// A part of what is loaded: bytes from memory, or a range of an open file (`bytes` is empty then).
struct Segment {
  std::string bytes;
  int fd = -1;
  std::uint64_t offset = 0, size_bytes = 0;
};
// Told at the beginning of every segment and after every few MB how much was sent. May throw, which ends the load: a range that ended
// too early is told once more before the load fails by itself, so the one who knows the file can say what happened to it.
using LoadCallback = std::function<void(std::uint64_t sent_bytes)>;

struct Wait {
  int exit_code = 0;
  std::string error;
};

// A running exec with its raw connection; see docker/stream.hpp for the connection.
struct Exec {
  std::string id;
  std::unique_ptr<Stream> stream;  // raw when tty, multiplexed (docker/stream.hpp: Demux) when not
};

struct ExecSpec {
  std::vector<std::string> command, env;
  std::string user, working_dir;
  bool tty = false, attach_stdin = true, privileged = false;
  std::uint16_t rows = 0, columns = 0;  // given as ConsoleSize where API >= 1.42; 0 = none
};

// Where the daemon keeps images.
struct StoreInfo {
  std::string driver;       // "overlay2", "overlayfs", ...
  std::string data_root;    // on the daemon's machine
  bool containerd = false;  // DriverStatus has driver-type io.containerd.snapshotter.v1
};

class BegunUpload;  // upload.hpp

class Engine {
public:
  explicit Engine(Endpoint endpoint);
  ~Engine();
  Engine(Engine&&) noexcept;

  const Endpoint& endpoint() const;
  Version version();               // negotiated once, again after the daemon was away
  void ping();                     // DockerConnectionError when it does not answer within 5 s
  StoreInfo store();               // GET /info
  bool containerd_store() { return store().containerd; }
  bool has_gpu_runtime();

  // `sizes`: with changed_bytes, for which the daemon looks at every file that a container has changed: minutes, where there are many.
  std::vector<ContainerSummary> list_containers(const std::optional<std::string>& label_filter = std::nullopt, bool sizes = false);
  Container inspect_container(const std::string& id_or_name);
  std::string create_container(const std::string& name, const ContainerSpec& spec);  // returns the ID; never pulls
  // A container like `from`, which does not run, made from another image: the same configuration, limits, labels, mounts and networks, and the
  // volumes that `from` has without a name of their own. Returns the ID.
  std::string clone_container(const Container& from, const std::string& name, const std::string& image_id, const Naming::Labels& more_labels);
  // The volumes of a container that nobody has named: those of its image's VOLUME lines. In a clone they have a name.
  static std::vector<std::string> anonymous_volumes(const Container& container);
  // All that it has, of whatever name: the images' VOLUME lines have made them, or somebody has named them.
  static std::vector<Mount> volumes(const Container& container);
  void remove_volume(const std::string& name);  // absent: fine
  void rename_container(const std::string& id_or_name, const std::string& new_name);
  void start_container(const std::string& id_or_name);                               // already running: fine
  void stop_container(const std::string& id_or_name, std::chrono::seconds grace);    // already stopped: fine
  void kill_container(const std::string& id_or_name, const std::string& signal = "KILL");
  void pause_container(const std::string& id_or_name);
  void unpause_container(const std::string& id_or_name);
  // Absent: ContainerNotFoundError. Volumes without a name go with it, unless a clone uses them.
  void remove_container(const std::string& id_or_name, bool force, bool keep_volumes = false);
  // Blocks until the container is not running. Polls the token at least every second.
  Wait wait_container(const std::string& id_or_name, const CancelToken& cancel);
  // Follows stdout and stderr from the first byte to the end of the container. `sink(is_stderr, bytes)`.
  void follow_logs(const std::string& id_or_name, const CancelToken& cancel,
                   const std::function<void(bool is_stderr, std::string_view bytes)>& sink, bool follow = true);

  std::optional<Image> find_image(const std::string& reference);  // nullopt: not here
  Image inspect_image(const std::string& reference);              // throws ImageNotFoundError
  std::vector<Image> list_images_tagged(const std::string& reference_filter);
  // Those that have no tag and no child, with this label: "key" or "key=value".
  std::vector<Image> list_untagged_images(const std::string& label_filter);
  // What the image's own config file says about it, without its layers and its history: architecture, os, config.
  nlohmann::json image_config(const std::string& id);
  std::vector<std::string> list_image_ids();  // all, untagged and intermediate ones too
  void pull_image(const std::string& reference, const PullCallback& progress, const CancelToken& cancel);
  struct CommitOptions {
    std::string comment = {};
    std::string tag = {};  // given with the image, so that a commit that nobody waits for any more leaves none without
    bool pause = false;    // a container that runs stands still meanwhile
  };
  // POST /commit. `changes` are Dockerfile lines. Returns the image ID.
  std::string commit(const std::string& container, const std::vector<std::string>& changes, const CommitOptions& options, const CancelToken& cancel);
  // What the last step of an image's making has added to it (GET /images/{ref}/history).
  struct LastStep {
    std::string comment;
    std::uint64_t size_bytes = 0;
  };
  LastStep last_step(const std::string& reference);
  void tag_image(const std::string& id, const std::string& reference);
  // DELETE /images/{ref}: with its last tag goes the image, and layers that nobody uses. Refused while a container needs it; forced, only the tag goes while one of them runs, and the image with it while they all stand.
  void untag_image(const std::string& reference, bool force = false);
  // Removes an image that has no tag and that no container and no other image needs; else, and on any error, it stays. Never throws.
  void remove_unused_image(const std::string& id) noexcept;
  // GET /images/{ref}/get; `sink` gets the bytes as they come and may throw.
  void save_image(const std::string& reference, const std::function<void(std::string_view)>& sink, const CancelToken& cancel);
  // GET /containers/{id}/export: the file system of a container as one tar.
  void export_container(const std::string& id_or_name, const std::function<void(std::string_view)>& sink, const CancelToken& cancel);
  // POST /images/load. `source` fills the buffer and returns the number of bytes, 0 at the end; `size` is the Content-Length.
  LoadResult load_image(std::uint64_t size_bytes, const std::function<size_t(char* buffer, size_t size)>& source,
                        const CancelToken& cancel);
  // The same in segments. To a daemon on a unix socket ranges of files go by sendfile(2), and nothing outside of them is read.
  LoadResult load_image(const std::vector<Segment>& segments, const LoadCallback& progress, const CancelToken& cancel);
  // For a load that is likely to come soon: the daemon is given the beginning of its body now. An engine before 23 starts a program of its own for every body (40 ms of a
  // thin load's 100); one that begins so finds it waiting. It costs the daemon that process meanwhile. Elsewhere this does nothing. Best effort; never throws.
  void prepare_load(const std::string& beginning) noexcept;
  // What was prepared longer ago than this is not waited for any more.
  void end_prepared_load(std::chrono::seconds older_than) noexcept;

  bool has_network(const std::string& name);
  // With the MTU and the rules of the daemon's default bridge. `subnet` as "172.30.0.0/16", or empty: the daemon chooses one. There already: DockerError of
  // kind conflict.
  void create_bridge_network(const std::string& name, const std::string& subnet, const Naming::Labels& labels);

  Exec start_exec(const std::string& container, const ExecSpec& spec);
  // Nobody listens to it: what it writes is lost, and it goes on by itself.
  void start_detached_exec(const std::string& container, const std::vector<std::string>& command);
  void resize_exec(const std::string& exec_id, std::uint16_t rows, std::uint16_t columns);
  struct ExecState { bool running = false; int exit_code = 0; };
  ExecState inspect_exec(const std::string& exec_id);
  // Runs to the end without input; output is bounded to 1 MB.
  struct ExecResult { int exit_code; std::string stdout_text, stderr_text; };
  ExecResult run_exec(const std::string& container, const std::vector<std::string>& command, std::chrono::seconds timeout);

private:
  bool is_local() const;
  std::unique_ptr<BegunUpload> take_prepared(const std::vector<Segment>& segments);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace riverbox::docker
