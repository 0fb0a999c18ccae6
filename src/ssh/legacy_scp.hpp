// The other end of `scp -O`: the protocol of rcp, which scp spoke before sftp. A client runs "scp -t FOLDER" or "scp -f FILE..." here, by the user's shell; in images that have no
// scp, this is it.
#pragma once
#include <string>
#include <vector>

namespace riverbox::ssh {

inline constexpr const char* kToolFolder = "/etc/riverbox/bin";  // last in the PATH of every session

// `words` are those after "scp". Returns the exit status. Blocking, over stdin and stdout.
int legacy_scp(const std::vector<std::string>& words);
// Puts a "scp" into the folder that calls this program, if there is none in PATH. Best effort.
void provide_legacy_scp(const std::string& path_variable);

}  // namespace riverbox::ssh
