// Publishing and syncing against a real Docker Engine ($DOCKER_HOST or the local socket) with busybox:latest in it. A second engine
// ($RIVERBOX_TEST_RUNNER_DOCKER_HOST or $RIVERBOX_TEST_SECOND_DOCKER_HOST) plays the runner; without one the first plays both.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "environment_world.hpp"

int main(int argc, char** argv) {
  try {
    docker::Engine engine(docker::Endpoint::from_environment());
    engine.ping();
    if (!engine.find_image("busybox:latest")) {
      fmt::print(stderr, "SKIPPED: the Docker Engine has no image busybox:latest\n");
      return 77;
    }
  } catch (const Error& error) {
    fmt::print(stderr, "SKIPPED: NO DOCKER ENGINE: {}\n", error.what());
    return 77;
  }
  doctest::Context context(argc, argv);
  return context.run();
}
