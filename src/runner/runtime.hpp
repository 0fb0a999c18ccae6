// What runs an attempt once it is made: the Docker Engine, or this machine itself for a task without a container. Both speak of their states in the Engine's words, and the way of an
// attempt (attempt.hpp) is the same.
#pragma once
#include <functional>
#include <string>
#include <string_view>

#include "base/cancel.hpp"
#include "docker/engine.hpp"

namespace riverbox::runner {

// Thread-safe. Every call blocks, and throws docker::ContainerNotFoundError or another error that says what has become of `id`.
class Runtime {
public:
  using Sink = std::function<void(bool is_stderr, std::string_view bytes)>;
  virtual ~Runtime() = default;
  virtual docker::ContainerState state(const std::string& id) = 0;
  virtual void start(const std::string& id) = 0;
  virtual void signal(const std::string& id, const std::string& name) = 0;  // "SIGTERM"
  virtual void pause(const std::string& id) = 0;
  virtual void unpause(const std::string& id) = 0;
  virtual void wait(const std::string& id, const CancelToken& cancel) = 0;  // until it has ended
  // The output from its first byte, to the end.
  virtual void follow(const std::string& id, const CancelToken& cancel, const Sink& sink) = 0;
  virtual void remove(const std::string& id) = 0;
};

class ContainerRuntime final : public Runtime {
public:
  explicit ContainerRuntime(docker::Engine& engine) : engine_(engine) {}
  docker::ContainerState state(const std::string& id) override { return engine_.inspect_container(id).state; }
  void start(const std::string& id) override { engine_.start_container(id); }
  void signal(const std::string& id, const std::string& name) override { engine_.kill_container(id, name); }
  void pause(const std::string& id) override { engine_.pause_container(id); }
  void unpause(const std::string& id) override { engine_.unpause_container(id); }
  void wait(const std::string& id, const CancelToken& cancel) override { engine_.wait_container(id, cancel); }
  void follow(const std::string& id, const CancelToken& cancel, const Sink& sink) override { engine_.follow_logs(id, cancel, sink); }
  void remove(const std::string& id) override { engine_.remove_container(id, true); }

private:
  docker::Engine& engine_;
};

}  // namespace riverbox::runner
