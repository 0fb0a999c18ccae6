// Any bytes as the body of a daemon's answer: lines of progress of a pull and of a load, and the frames of a stream without a terminal. However the reads fall it is the same.

#include "base/error.hpp"
#include "base/json.hpp"
#include "docker/progress.hpp"
#include "docker/stream.hpp"
#include "fuzz_target.hpp"

using namespace riverbox;
using namespace riverbox::docker;

namespace {

template <class Feed>
void in_pieces(std::string_view bytes, std::size_t piece, Feed feed) {
  for (std::size_t at = 0; at < bytes.size(); at += piece) feed(bytes.substr(at, piece));
}

std::string lines(std::string_view bytes, std::size_t piece) {
  PullTracker pull;
  LoadTracker load;
  std::string told;
  try {
    JsonLines reader("load", [&](const nlohmann::json& line) {
      pull.line(line, [&](const PullProgress& progress) { told += progress.step.substr(0, 10); });
      load.line(line);
    });
    in_pieces(bytes, piece, [&](std::string_view part) { reader.feed(part); });
    reader.finish();
  } catch (const Error& error) {
    MUST_HOLD(!error.fact().empty());
    return "refused";
  }
  return told + pull.error();
}

std::string frames(std::string_view bytes, std::size_t piece) {
  Demux demux;
  std::string out[2];
  try {
    in_pieces(bytes, piece, [&](std::string_view part) { demux.feed(part, [&](bool is_stderr, std::string_view payload) { out[is_stderr] += payload; }); });
  } catch (const Error&) {
    return "refused";
  }
  return out[0] + "|" + out[1];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t whole = size + 1, piece = 1 + size % 17;
  MUST_HOLD(lines(bytes, whole) == lines(bytes, piece));
  MUST_HOLD(frames(bytes, whole) == frames(bytes, piece));
  return 0;
}
