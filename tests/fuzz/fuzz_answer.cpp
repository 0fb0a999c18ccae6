// Any bytes as the answer of a daemon: in one piece and in many it is the same answer, or the same refusal.
#include <algorithm>
#include <optional>

#include "docker/answer_reader.hpp"
#include "fuzz_target.hpp"

using namespace riverbox::docker;

namespace {

struct Read {
  long status = 0;
  std::string body;
  bool operator==(const Read&) const = default;
};

std::optional<Read> read(std::string_view bytes, std::size_t piece) {
  Read result;
  AnswerReader reader("load", [&](std::string_view part) { result.body += part; });
  try {
    for (std::size_t at = 0; at < bytes.size(); at += piece) reader.feed(bytes.substr(at, piece));
    reader.end();
  } catch (const DockerConnectionError&) {
    return std::nullopt;
  }
  MUST_HOLD(reader.complete());
  result.status = reader.response().status;
  result.body += reader.response().body;
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto whole = read(bytes, std::max<std::size_t>(size, 1));
  MUST_HOLD(whole == read(bytes, 1));
  MUST_HOLD(whole == read(bytes, 1 + size % 13));
  if (whole) MUST_HOLD(whole->status >= 200 && whole->body.size() <= size);
  return 0;
}
