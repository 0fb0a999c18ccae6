// The Docker branch of the error hierarchy: the names of seeds/003-kohakuriver-docker-integration.txt.
#pragma once
#include "base/error.hpp"

namespace riverbox::docker {

class DockerError : public Error {
public:
  explicit DockerError(std::string what, std::string next = {}, ErrorKind kind = ErrorKind::internal)
      : Error(kind, std::move(what), std::move(next)) {}
};

#define RIVERBOX_DOCKER_ERROR(Name, Kind)                                                    \
  class Name : public DockerError {                                                          \
  public:                                                                                    \
    explicit Name(std::string what, std::string next = {}, ErrorKind kind = ErrorKind::Kind) \
        : DockerError(std::move(what), std::move(next), kind) {}                             \
  }

RIVERBOX_DOCKER_ERROR(DockerConnectionError, unavailable);    // no daemon, no permission, time-out of a phase
RIVERBOX_DOCKER_ERROR(ContainerNotFoundError, not_found);
RIVERBOX_DOCKER_ERROR(ContainerCreationError, internal);      // `conflict` when the name exists
RIVERBOX_DOCKER_ERROR(ContainerExecutionError, internal);
RIVERBOX_DOCKER_ERROR(ImageNotFoundError, not_found);
RIVERBOX_DOCKER_ERROR(ImageBuildError, internal);             // commit
RIVERBOX_DOCKER_ERROR(ImageExportError, internal);            // save
RIVERBOX_DOCKER_ERROR(ImageImportError, bad_data);            // load
RIVERBOX_DOCKER_ERROR(ResourceAllocationError, internal);

}  // namespace riverbox::docker
