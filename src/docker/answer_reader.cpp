#include "docker/answer_reader.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/strings.hpp"

namespace riverbox::docker {

namespace {

constexpr size_t kMaxAnswerHeadBytes = 64 << 10, kMaxAnswerLineBytes = 8 << 10, kMaxAnswerBytes = 1 << 20;

}  // namespace

void AnswerReader::feed(std::string_view bytes) {
  while (!bytes.empty() && !complete()) {
    switch (at_) {
      case At::head: {
        const size_t before = bytes.size();
        auto line = take_line(bytes, kMaxAnswerHeadBytes);
        head_bytes_ += before - bytes.size();
        if (head_bytes_ > kMaxAnswerHeadBytes) fail();
        if (line) take_head_line(*line);
        break;
      }
      case At::body:
      case At::chunk: {
        const auto part = bytes.substr(0, static_cast<size_t>(std::min<std::uint64_t>(left_, bytes.size())));
        bytes.remove_prefix(part.size());
        left_ -= part.size();
        take_body(part);
        if (left_ == 0) at_ = at_ == At::body ? At::complete : At::chunk_end;
        break;
      }
      case At::rest:
        take_body(bytes);
        return;
      case At::chunk_size:
        if (auto line = take_line(bytes, kMaxAnswerLineBytes)) take_chunk_size(*line);
        break;
      case At::chunk_end:
        if (auto line = take_line(bytes, kMaxAnswerLineBytes)) {
          if (!line->empty()) fail();
          at_ = At::chunk_size;
        }
        break;
      case At::trailer:
        if (auto line = take_line(bytes, kMaxAnswerLineBytes); line && line->empty()) at_ = At::complete;
        break;
      case At::complete: break;
    }
  }
}

void AnswerReader::end() {
  if (at_ == At::rest) at_ = At::complete;
  if (complete()) return;
  const char* how = at_ == At::head && head_bytes_ == 0 ? "without an answer" : "in the middle of its answer";
  throw DockerConnectionError("cannot " + action_ + ": the Docker daemon closed the connection " + how,
                              "It may be restarting: try again, and look at its log (journalctl -u docker).");
}

std::optional<std::string> AnswerReader::take_line(std::string_view& bytes, size_t max_bytes) {
  const size_t end = bytes.find('\n');
  line_.append(bytes.substr(0, end));
  bytes.remove_prefix(end == bytes.npos ? bytes.size() : end + 1);
  if (line_.size() > max_bytes) fail();
  if (end == std::string_view::npos) return std::nullopt;
  if (line_.ends_with('\r')) line_.pop_back();
  return std::exchange(line_, {});
}

void AnswerReader::take_head_line(const std::string& line) {
  if (response_.status == 0) {
    const auto space = line.find(' ');
    const auto status = line.starts_with("HTTP/1.") && space != line.npos ? parse_u64(line.substr(space + 1, 3)).value_or(0) : 0;
    if (status < 100) fail();
    response_.status = static_cast<long>(status);
    return;
  }
  if (line.empty()) return end_of_head();
  const auto colon = line.find(':');
  if (colon == line.npos) return;
  const auto name = to_lower(line.substr(0, colon));
  const auto value = std::string(trim(std::string_view(line).substr(colon + 1)));
  if (name == "transfer-encoding") chunked_ = to_lower(value) == "chunked";
  if (name == "content-length") {
    const auto length = parse_u64(value);
    if (!length) fail();
    length_ = *length;
  }
}

void AnswerReader::end_of_head() {
  if (response_.status < 200) {  // "100 Continue": the answer is still to come
    response_.status = 0;
    return;
  }
  if (response_.status == 204 || response_.status == 304) at_ = At::complete;
  else if (chunked_) at_ = At::chunk_size;
  else if (length_) {
    left_ = *length_;
    at_ = left_ == 0 ? At::complete : At::body;
  } else {
    at_ = At::rest;
  }
}

void AnswerReader::take_chunk_size(const std::string& line) {
  const auto digits = trim(std::string_view(line).substr(0, line.find(';')));
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), left_, 16);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) fail();
  at_ = left_ == 0 ? At::trailer : At::chunk;
}

void AnswerReader::take_body(std::string_view bytes) {
  if (response_.status == 200 && sink_) return sink_(bytes);
  response_.body.append(bytes.substr(0, kMaxAnswerBytes - std::min(kMaxAnswerBytes, response_.body.size())));
}

void AnswerReader::fail() {
  throw DockerConnectionError("cannot " + action_ + ": what listens there does not answer like a Docker daemon", "Check DOCKER_HOST.");
}

}  // namespace riverbox::docker
