// What `riverbox doctor` looks at. Each check is a function that may block for ever: it runs in a process of its own, for a limited time.
#pragma once
#include <chrono>
#include <string_view>
#include <vector>

#include "doctor/finding.hpp"
#include "doctor/situation.hpp"

namespace riverbox::doctor {

struct Examined {
  std::string_view check;
  Findings findings;  // may be empty: it does not concern this machine, or another check has said it
};

// All checks that concern this machine, at once; returns after `limit` at the latest. The caller must have no other threads.
std::vector<Examined> examine(const Situation& here, std::chrono::milliseconds limit);

// ---- the checks; errors that they throw become problems

Findings look_at_docker(const Situation& here);       // docker.cpp
Findings look_at_store(const Situation& here);
Findings look_at_gpus(const Situation& here);
Findings look_at_mount(const Situation& here);        // share.cpp
Findings look_at_share(const Situation& here);
Findings look_at_host(const Situation& here);         // host.cpp
Findings look_at_clock(const Situation& here);
Findings look_at_port(const Situation& here);
Findings look_at_kernel(const Situation& here);       // kernel.cpp
Findings look_at_token(const Situation& here);        // files.cpp
Findings look_at_state(const Situation& here);

}  // namespace riverbox::doctor
