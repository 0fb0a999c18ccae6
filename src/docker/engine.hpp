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
};

struct ContainerState {
  std::string status;  // created running paused restarting removing exited dead
  bool running = false, paused = false, oom_killed = false;
  int exit_code = 0;
  std::string error, started_at, finished_at;
};

struct Container {
  std::string id, name, image_id, image /* Config.Image */;
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
  std::string working_dir, hostname, network /* "" = default */, cpuset_cpus, cpuset_mems, log_driver;
  std::map<std::string, std::string> log_options;  // of log_driver
  Naming::Labels labels;
  std::vector<Mount> mounts;
  std::vector<std::string> cap_add;
  std::vector<int> gpus;  // DeviceRequests by id
  double cpus = 0;        // 0 = no limit
  std::uint64_t memory_bytes = 0;
  std::int64_t pids_limit = 0;
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

class Engine {
public:
  explicit Engine(Endpoint endpoint);
  ~Engine();
  Engine(Engine&&) noexcept;

  const Endpoint& endpoint() const;
  Version version();               // negotiated once, again after the daemon was away
  void ping();                     // DockerConnectionError when it does not answer within 5 s
  bool containerd_store();         // GET /info: DriverStatus has driver-type io.containerd.snapshotter.v1
  bool has_gpu_runtime();

  std::vector<ContainerSummary> list_containers(const std::optional<std::string>& label_filter = std::nullopt);
  Container inspect_container(const std::string& id_or_name);
  std::string create_container(const std::string& name, const ContainerSpec& spec);  // returns the ID; never pulls
  void start_container(const std::string& id_or_name);                               // already running: fine
  void stop_container(const std::string& id_or_name, std::chrono::seconds grace);    // already stopped: fine
  void kill_container(const std::string& id_or_name, const std::string& signal = "KILL");
  void pause_container(const std::string& id_or_name);
  void unpause_container(const std::string& id_or_name);
  void remove_container(const std::string& id_or_name, bool force);                  // absent: ContainerNotFoundError
  // Blocks until the container is not running. Polls the token at least every second.
  Wait wait_container(const std::string& id_or_name, const CancelToken& cancel);
  // Follows stdout and stderr from the first byte to the end of the container. `sink(is_stderr, bytes)`.
  void follow_logs(const std::string& id_or_name, const CancelToken& cancel,
                   const std::function<void(bool is_stderr, std::string_view bytes)>& sink, bool follow = true);

  std::optional<Image> find_image(const std::string& reference);  // nullopt: not here
  Image inspect_image(const std::string& reference);              // throws ImageNotFoundError
  std::vector<Image> list_images_tagged(const std::string& reference_filter);
  void pull_image(const std::string& reference, const PullCallback& progress, const CancelToken& cancel);
  // POST /commit without pause (the container is stopped). `changes` are Dockerfile lines. Returns the image ID.
  std::string commit(const std::string& container, const std::vector<std::string>& changes, const std::string& comment,
                     const CancelToken& cancel);
  void tag_image(const std::string& id, const std::string& reference);
  void untag_image(const std::string& reference);  // DELETE /images/{ref}?noprune=0: removes layers nobody uses
  // GET /images/{ref}/get; `sink` gets the bytes as they come and may throw.
  void save_image(const std::string& reference, const std::function<void(std::string_view)>& sink, const CancelToken& cancel);
  // POST /images/load. `source` fills the buffer and returns the number of bytes, 0 at the end; `size` is the Content-Length.
  LoadResult load_image(std::uint64_t size_bytes, const std::function<size_t(char* buffer, size_t size)>& source,
                        const CancelToken& cancel);

  Exec start_exec(const std::string& container, const ExecSpec& spec);
  void resize_exec(const std::string& exec_id, std::uint16_t rows, std::uint16_t columns);
  struct ExecState { bool running = false; int exit_code = 0; };
  ExecState inspect_exec(const std::string& exec_id);
  // Runs to the end without input; output is bounded to 1 MB.
  struct ExecResult { int exit_code; std::string stdout_text, stderr_text; };
  ExecResult run_exec(const std::string& container, const std::vector<std::string>& command, std::chrono::seconds timeout);

private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace riverbox::docker
