// The chain: after a commit the environment container is made again from the new image, so that the next commit holds only the next change.
// Docker has no "change the image of a container": the old one steps aside under another name until the new one stands in its place.
#pragma once
#include <string>
#include <vector>

#include "docker/engine.hpp"
#include "docker/naming.hpp"

namespace riverbox::environment {

// Volumes that a container of a chain has from an image's VOLUME lines: nobody's without it.
std::vector<std::string> inherited_volumes(const docker::Naming& naming, const docker::Container& container);

class ContainerChain {
public:
  // `name` of the environment. All calls block; the caller serialises them for one name.
  ContainerChain(docker::Engine& engine, const docker::Naming& naming, std::string name);
  // `current` does not run. Afterwards a container from `image_id` has its name, and it stands aside under another. After an error: settle().
  void renew(const docker::Container& current, const std::string& image_id);
  // Removes the one that stepped aside, if another stands in its place: seconds, when it has many files. Engine errors are logged; settle() does it then, another time.
  void drop_previous();
  // After an error or a crash at any moment: exactly one container has the proper name, no other is left. Idempotent.
  void settle();

private:
  std::optional<docker::Container> find_ours(const std::string& container_name);
  void remove_if_ours(const std::string& container_name);
  docker::Engine& engine_;
  const docker::Naming naming_;
  const std::string name_, proper_, next_, previous_;
};

}  // namespace riverbox::environment
