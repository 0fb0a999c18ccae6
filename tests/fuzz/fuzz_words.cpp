// The short texts that people, configurations and programs give: refused with InvalidInput, which says something that can be printed, or understood and the same after the
// way back. The first byte says as what.
#include <array>

#include "base/duration.hpp"
#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/mount_rule.hpp"
#include "base/strings.hpp"
#include "base/subnet.hpp"
#include "base/task.hpp"
#include "base/time.hpp"
#include "docker/naming.hpp"
#include "docker/reference.hpp"
#include "fuzz_target.hpp"
#include "net/http.hpp"
#include "net/url.hpp"
#include "os/routes.hpp"
#include "os/topology.hpp"

using namespace riverbox;

namespace {

template <class Parsed>
void check_back(const std::string& text) {
  const auto parsed = Parsed::parse(text);
  MUST_HOLD(Parsed::parse(parsed.str()).str() == parsed.str());
}

void check_strings(const std::string& text) {
  const std::string shown = printable(text), fixed = valid_utf8(text);
  for (const char c : shown) MUST_HOLD(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  MUST_HOLD(valid_utf8(fixed) == fixed && complete_utf8_prefix(text) <= text.size());
  MUST_HOLD(percent_decoded(percent_encoded(text)) == (text.find('\0') == std::string::npos ? std::optional(text) : std::nullopt));
  MUST_HOLD(base64_decoded(base64(text)) == text);
  base64_decoded(text), percent_decoded(text), parse_u64(text), parse_i64(text), nearest(text.substr(0, 40), {"network", "paths"}), shell_quoted(text);
  net::parse_query(text), net::error_detail(text);
}

const std::array<void (*)(const std::string&), 18> kKinds{
    check_strings,
    check_back<Target>,
    check_back<MountSpec>,
    check_back<MountRule>,
    check_back<Subnet>,
    check_back<TaskId>,
    check_back<NodeName>,
    check_back<Digest>,
    check_back<docker::Reference>,
    [](const std::string& text) { const auto url = net::HttpUrl::parse(text); MUST_HOLD(url.port != 0 && url.target.starts_with('/') && !url.host.empty()); },
    [](const std::string& text) { human_bytes(parse_bytes(text)); },
    [](const std::string& text) { human_duration(parse_duration(text)); },
    [](const std::string& text) { const auto time = parse_rfc3339(text); MUST_HOLD(parse_rfc3339(to_rfc3339(time)) == time); },
    [](const std::string& text) { parse_local(text); },
    [](const std::string& text) { MUST_HOLD(signal_number(parse_stop_signal(text)) > 0); },
    [](const std::string& text) { for (const auto& gpu : os::parse_nvidia_smi(text)) MUST_HOLD(gpu.gpu_id >= 0); },
    [](const std::string& text) { for (const auto& route : os::parse_routes(text)) MUST_HOLD(!route.interface.empty() && route.to.prefix_bits > 0); },
    [](const std::string& text) { docker::registry_auth_from(text, "docker.io"), docker::extract_task_id_from_name(text), docker::extract_environment_from_name(text); },
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  try {
    kKinds[data[0] % kKinds.size()](std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  } catch (const Error& error) {  // InvalidInput, BadData
    MUST_HOLD(!error.fact().empty());
    for (const char c : error.fact()) MUST_HOLD(static_cast<unsigned char>(c) >= 0x20);
  }
  return 0;
}
