// The Docker Engine: whether it answers, where it keeps images, and whether it knows of the GPUs that are here.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "doctor/checks.hpp"
#include "os/topology.hpp"

namespace riverbox::doctor {
namespace {

namespace fs = std::filesystem;

// Of a unix socket; empty: it is reached otherwise.
std::string socket_path(const docker::Endpoint& endpoint) { return endpoint.host.starts_with("unix://") ? endpoint.host.substr(7) : ""; }

std::string mend_connection(const Situation& here, const docker::Endpoint& endpoint) {
  const std::string path = socket_path(endpoint);
  if (path.empty()) return fmt::format("docker -H {} version", shell_quoted(endpoint.host));
  if (::access(path.c_str(), F_OK) != 0) return as_root("systemctl start docker");
  if (::access(path.c_str(), W_OK) != 0) return as_root(fmt::format("usermod -aG docker {}, and log in again", here.user));
  return as_root("systemctl restart docker");
}

bool is_nvidia_gpu(const fs::path& device) {
  const auto number = [&](const char* file) {
    const int fd = ::open((device / file).c_str(), O_RDONLY | O_CLOEXEC);
    char text[16] = "";
    if (fd >= 0) [[maybe_unused]] const ssize_t n = ::read(fd, text, sizeof text - 1);
    if (fd >= 0) ::close(fd);
    return std::string(trim(text));
  };
  return number("vendor") == "0x10de" && number("class").starts_with("0x03");
}

// On the bus, whether or not there is a driver.
bool has_nvidia_card() {
  std::error_code error;
  for (fs::directory_iterator device("/sys/bus/pci/devices", error), end; !error && device != end; device.increment(error))
    if (is_nvidia_gpu(device->path())) return true;
  return false;
}

}  // namespace

Findings look_at_docker(const Situation& here) {
  const docker::Endpoint endpoint = here.endpoint();
  docker::Engine engine(endpoint);
  Findings out;
  try {
    engine.ping();
    const docker::Version version = engine.version();
    out = ok(fmt::format("Docker {} answers at {}, API {}", version.engine, endpoint.host, version.api));
  } catch (const docker::DockerConnectionError& error) {
    return problem(error.fact(), mend_connection(here, endpoint));
  }
  struct stat info {};
  const std::string path = socket_path(endpoint);
  if (!path.empty() && ::stat(path.c_str(), &info) == 0 && (info.st_mode & S_IWOTH))
    add(out, warning(fmt::format("everybody on this machine may use {} and is root by that", path), as_root("chmod o-rw " + shell_quoted(path))));
  return out;
}

Findings look_at_store(const Situation& here) {
  docker::Engine engine(here.endpoint());
  docker::StoreInfo store;
  try {
    store = engine.store();
  } catch (const docker::DockerConnectionError&) {
    return {};  // the check before this one says it
  }
  Findings out;
  std::string where = fmt::format("images are in {}, driver {}{}", store.data_root, store.driver, store.containerd ? " of containerd" : "");
  if (store.driver == "vfs")
    out = warning(where + ": every layer is a whole copy", "put \"storage-driver\": \"overlay2\" into /etc/docker/daemon.json, then " + as_root("systemctl restart docker"));
  else
    out = ok(std::move(where));
  // A daemon on another machine, or in a container, has its folder there.
  if (!socket_path(engine.endpoint()).empty() && ::access(store.data_root.c_str(), F_OK) == 0)
    add(out, free_space("disk of the images", store.data_root, "docker builder prune && docker image prune"));
  return out;
}

Findings look_at_gpus(const Situation& here) {
  const auto gpus = os::gpus();
  if (gpus.empty()) {
    if (!has_nvidia_card()) return ok("no GPU of NVIDIA is here");
    return warning("there is a GPU of NVIDIA, but nvidia-smi does not list it: tasks cannot ask for it", "nvidia-smi; if it is missing, install the driver of NVIDIA");
  }
  const std::string what = fmt::format("{} GPU{}, {}, driver {}", gpus.size(), gpus.size() == 1 ? "" : "s", gpus.front().name, gpus.front().driver_version);
  bool known = false;
  try {
    known = docker::Engine(here.endpoint()).has_gpu_runtime();
  } catch (const docker::DockerConnectionError&) {
    return ok(what);
  }
  if (known) return ok(what + "; Docker has the runtime for them");
  return warning(what + "; but Docker has no runtime for them, and tasks that ask for one fail",
                 fmt::format("{} && {}", as_root("nvidia-ctk runtime configure --runtime=docker"), as_root("systemctl restart docker")));
}

}  // namespace riverbox::doctor
