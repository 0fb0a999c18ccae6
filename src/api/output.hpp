// What the ways to the stored output of a task share: from the host's share, from a node without it.
#pragma once
#include "api/handlers.hpp"
#include "net/file_part.hpp"
#include "store/host_store.hpp"

namespace riverbox::api {

// Head of the answer that sends this part of so many bytes; one that cannot be satisfied is all of the answer.
net::Response output_head(const net::RangeWish& wish, std::uint64_t whole_bytes, int attempt);

// Asks the node for a part of a file that the host's share does not have, and answers the call with it. Any thread. False: there is nobody to ask.
bool send_remote_output(const CallPtr& call, const store::TaskRecord& task, bool is_stderr, const net::PartRequest& request);

// The answer when nobody has the file: nothing has been written yet.
void send_no_output(const CallPtr& call, bool is_stderr, const net::PartRequest& request, int attempt);

}  // namespace riverbox::api
