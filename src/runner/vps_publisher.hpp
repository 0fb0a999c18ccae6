// A VPS as an archive in the folder of archives: what its container holds, with the configuration of the image that it was made of, so that nothing of the VPS itself (its
// variables, its main process) is in it. The host makes a version of it (host/environments.hpp: take_in).
#pragma once
#include <functional>
#include <string>

#include "environment/archive_builder.hpp"
#include "environment/share.hpp"
#include "environment/sync.hpp"
#include "runner/snapshots.hpp"

namespace riverbox::runner {

class VpsPublisher {
public:
  VpsPublisher(docker::Engine& engine, docker::Naming naming, environment::Share share, environment::Compression compression)
      : engine_(engine), naming_(std::move(naming)), share_(std::move(share)), compression_(compression) {}

  // Blocking, minutes. Who calls has the VPS's turn until `committed` is called: from then on the VPS is not needed. Returns the name of the file in the share's folder, which
  // no listing takes for a version and which goes after a day. Throws docker errors, IoError, Cancelled.
  using Progress = std::function<void(const environment::SyncProgress&)>;
  std::string write(Snapshots& snapshots, TaskId vps, const environment::EnvironmentName& name, const Progress& progress, const std::function<void()>& committed);

private:
  docker::Engine& engine_;
  const docker::Naming naming_;
  const environment::Share share_;
  const environment::Compression compression_;
};

}  // namespace riverbox::runner
