// Leases: who reads an archive says so in a file beside it, `.riverbox/leases/<tarball>.<holder>`, and nobody prunes it meanwhile. A lease that
// is not renewed expires, by the clock of the share's server. Blocking.
#pragma once
#include <chrono>
#include <optional>
#include <string>

#include "environment/share.hpp"
#include "os/fd.hpp"

namespace riverbox::environment {

inline constexpr std::chrono::minutes kLeaseTime{15};

// Taken for the life of the object. A share that cannot be written to gives none: then a reader that comes too late takes the next version.
class Lease {
public:
  Lease(const Share& share, const std::string& tarball) noexcept;
  ~Lease();
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  // Cheap: writes at most once a minute.
  void renew() noexcept;

private:
  os::UniqueFd folder_;  // none: no lease
  std::string name_;
  std::chrono::steady_clock::time_point renewed_;
};

// Who holds a lease of this archive: "<host name>-<pid>"; nullopt: nobody. Removes what has expired. Throws IoError.
std::optional<std::string> lease_holder(const Share& share, const std::string& tarball);

}  // namespace riverbox::environment
