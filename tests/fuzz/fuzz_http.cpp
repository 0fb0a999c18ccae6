// Any bytes as what a connection receives: however the reads fall the same requests come of it, or the same refusal. The last byte says how they fall.
#include <algorithm>
#include <optional>
#include <vector>

#include "fuzz_target.hpp"
#include "net/http_parser.hpp"

using namespace riverbox::net;

namespace {

constexpr std::uint64_t kMaxBody = 1000;

struct Received {
  std::vector<Request> requests;
  int refused = 0;
  bool waits = false;  // for the rest of a request
};

bool same(const Request& a, const Request& b) { return a.method == b.method && a.path == b.path && a.query == b.query && a.headers == b.headers && a.body == b.body; }

// As HttpConnection does it: at most `piece` bytes more at a time, those that were not taken once more in front of them.
Received receive(std::string_view bytes, std::size_t piece) {
  Received out;
  std::string waiting;
  HttpParser::Refusal refusal;
  auto parser = std::make_unique<HttpParser>(kMaxBody);
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    waiting += bytes.substr(at, piece);
    while (!waiting.empty()) {
      const bool had_head = parser->head_done();
      const std::size_t used = parser->put(waiting, refusal);
      MUST_HOLD(used <= waiting.size());
      waiting.erase(0, used);
      if (!refusal.status && !had_head && parser->head_done()) refusal = parser->check_head();
      if (refusal.status) {
        MUST_HOLD(refusal.status >= 400 && refusal.status < 600 && !refusal.detail.empty());
        out.refused = refusal.status;
        return out;
      }
      if (parser->done()) {
        out.requests.push_back(parser->take_request("peer"));
        parser = std::make_unique<HttpParser>(kMaxBody);
      } else if (used == 0 && had_head == parser->head_done()) {
        break;
      }
    }
  }
  out.waits = !waiting.empty();
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size - 1);
  const Received whole = receive(bytes, std::max<std::size_t>(bytes.size(), 1)), pieces = receive(bytes, 1 + data[size - 1] % 40);
  // What is wrong is found at once or with what comes after it, and of two mistakes one or the other.
  MUST_HOLD((whole.refused && pieces.refused) || whole.refused == pieces.refused || (whole.refused ? pieces.waits : whole.waits));
  MUST_HOLD(std::equal(whole.requests.begin(), whole.requests.end(), pieces.requests.begin(), pieces.requests.end(), same));
  for (const Request& request : whole.requests) {
    MUST_HOLD(request.body.size() <= kMaxBody);
    MUST_HOLD(request.path == "*" || request.path.starts_with('/'));
    MUST_HOLD(request.path.find('?') == std::string::npos);
    for (const auto& [name, value] : request.headers) MUST_HOLD(name.find_first_of("\r\n\0:", 0, 4) == std::string::npos && value.find_first_of("\r\n") == std::string::npos);
    lists_token(request.header("connection"), "upgrade");
  }
  return 0;
}
