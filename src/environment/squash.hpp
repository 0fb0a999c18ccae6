// One layer instead of many. Engines refuse an image of more than 125 layers, and every version of an environment adds one: long before that the
// container's whole file system becomes the only layer of a new chain.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>

#include "base/cancel.hpp"
#include "docker/engine.hpp"
#include "environment/archive.hpp"
#include "environment/archive_builder.hpp"
#include "os/atomic_file.hpp"

namespace riverbox::environment {

struct Squashed {
  std::unique_ptr<os::PendingFile> file;  // the archive, not yet published
  Archive archive;
  docker::Image image;                    // in the daemon, without a tag
};

// `container` does not run; `committed` is the image just made of it: its command, environment, user and labels stay, `labels` come on top. Blocking, long: the
// whole environment is written once and loaded once. Throws docker::DockerError, IoError, Cancelled, and what `progress` throws.
Squashed squash(docker::Engine& engine, const std::string& container, const docker::Image& committed, const docker::Naming::Labels& labels, const std::string& tag,
                const os::Place& final_place, Compression compression, const CancelToken& cancel, const std::function<void(std::uint64_t size_bytes)>& progress);

}  // namespace riverbox::environment
