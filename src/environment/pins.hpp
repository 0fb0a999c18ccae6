// Pins: versions that nobody deletes by accident. A pin is a file beside the index, `.riverbox/<tarball without .tar>.pin`, so that it
// counts for whoever uses the share. Blocking.
#pragma once
#include <filesystem>
#include <string>

#include "environment/share.hpp"

namespace riverbox::environment {

class Pins {
public:
  explicit Pins(Share share) : share_(std::move(share)) {}
  os::Place place_of(const std::string& tarball) const;
  std::filesystem::path path_of(const std::string& tarball) const { return place_of(tarball).path(); }
  // One system call. Throws IoError when the share does not say: who would delete must not take that for "no".
  bool is_pinned(const Version& version) const;
  // Durable on return. False: it was so before.
  bool pin(const Version& version) const;
  bool unpin(const Version& version) const;

private:
  Share share_;
};

}  // namespace riverbox::environment
