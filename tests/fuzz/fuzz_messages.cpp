// Any JSON text as what host, runners and clients say to each other: refused with InvalidInput, or understood and the same after the way back. The first byte says as what.

#include "api/shapes.hpp"
#include "base/error.hpp"
#include "base/json.hpp"
#include "base/task.hpp"
#include "fuzz_target.hpp"
#include "os/topology_json.hpp"
#include "runner/messages.hpp"

using namespace riverbox;
using nlohmann::json;

namespace {

// What survives JSON once survives it always.
template <class Value>
void check_round_trip(const json& text) {
  const json once = text.get<Value>();
  MUST_HOLD(json(once.get<Value>()) == once);
}

void check_submission(const host::Submission& submission) {
  MUST_HOLD(!submission.spec.command.empty());
  MUST_HOLD(submission.spec.cores >= 0 && submission.spec.retries >= 0);
  for (const auto& [name, value] : submission.spec.env) MUST_HOLD(!name.empty() && name.find('=') == std::string::npos);
}

void check(unsigned kind, const json& body, const std::string& text) {
  static const Config config;
  switch (kind) {
    case 0: runner::parse_host_message(text); break;
    case 1: check_round_trip<TaskSpec>(body); break;
    case 2: check_round_trip<TaskReport>(body); break;
    case 3: check_submission(api::parse_submission(body, config)); break;
    case 4: for (const auto& one : api::parse_batch(body, config)) check_submission(one); break;
    case 5: MUST_HOLD(os::json_of<json>(os::gpus_of(os::json_of<json>(os::gpus_of(body)))) == os::json_of<json>(os::gpus_of(body))); break;
    case 6: os::json_of<json>(os::numa_of(body)); break;
    case 7: os::cpus_of(body); break;
    default: api::parse_client_id(body); break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const json body = json::parse(text, nullptr, false);
  const unsigned kind = data[0] % 9;
  if (kind != 0 && body.is_discarded()) return 0;
  if (kind != 0 && kind < 5 && !body.is_object()) return 0;  // as api/route.cpp sees to it
  try {
    check(kind, body, text);
  } catch (const InvalidInput& error) {
    MUST_HOLD(!error.fact().empty());
    for (const char c : error.fact()) MUST_HOLD(static_cast<unsigned char>(c) >= 0x20);
  }
  return 0;
}
