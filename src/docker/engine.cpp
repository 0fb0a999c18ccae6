// The daemon itself: version, liveness, what it can do.
#include "docker/engine.hpp"

#include "docker/engine_impl.hpp"
#include "docker/json_fields.hpp"

namespace riverbox::docker {

namespace {

Call daemon_call(const char* action, const char* path) {
  Call call;
  call.request.action = action;
  call.request.path = path;
  return call;
}

}  // namespace

Engine::Engine(Endpoint endpoint) : impl_(std::make_unique<Impl>(std::move(endpoint))) {}
Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;

const Endpoint& Engine::endpoint() const { return impl_->api.endpoint(); }

bool Version::api_at_least(int major, int minor) const {
  return !api_less(api, std::to_string(major) + "." + std::to_string(minor));
}

Version Engine::version() {
  const auto api = impl_->api.negotiated();
  {
    std::lock_guard lock(impl_->mutex);
    if (impl_->version && impl_->version->api == api) return *impl_->version;
  }
  auto answer = impl_->api.ask(daemon_call("ask the Docker daemon for its version", "/version"));
  Version version{text(answer, "Version"), api, text(answer, "MinAPIVersion")};
  if (api_less(kNewestApi, version.min_api))
    throw DockerError("cannot use Docker " + version.engine + ": it needs API " + version.min_api + " or newer and this program speaks " +
                          kNewestApi,
                      "Use a newer riverbox or an older Docker Engine.");
  std::lock_guard lock(impl_->mutex);
  impl_->version = version;
  return version;
}

void Engine::ping() {
  try {
    impl_->api.ping(std::chrono::seconds(5));
  } catch (const DockerConnectionError&) {
    impl_->api.forget_version();
    std::lock_guard lock(impl_->mutex);
    impl_->version.reset();
    throw;
  }
}

StoreInfo Engine::store() {
  auto info = impl_->api.ask(daemon_call("ask the Docker daemon for its image store", "/info"));
  StoreInfo store{text(info, "Driver"), text(info, "DockerRootDir")};
  auto& status = field(info, "DriverStatus");
  if (!status.is_array()) return store;
  for (auto& row : status)
    if (auto pair = texts(row); pair.size() == 2 && pair[0] == "driver-type" && pair[1].starts_with("io.containerd.snapshotter"))
      store.containerd = true;
  return store;
}

bool Engine::has_gpu_runtime() {
  auto info = impl_->api.ask(daemon_call("ask the Docker daemon for its runtimes", "/info"));
  if (field(info, "Runtimes").contains("nvidia")) return true;
  auto& devices = field(info, "DiscoveredDevices");  // CDI, API 1.50 and newer
  if (devices.is_array())
    for (auto& device : devices)
      if (text(device, "ID").starts_with("nvidia.com/gpu")) return true;
  return false;
}

}  // namespace riverbox::docker
