// The server of the subsystem "sftp": version 3 over a byte stream, with the rights of whoever runs it. Blocking, so it has a process of its own.
#pragma once

namespace riverbox::ssh::sftp {

// Until the stream ends, or what comes makes no sense. Relative paths begin in the working folder.
void serve(int in, int out);

}  // namespace riverbox::ssh::sftp
