// The answer to one request on a connection of its own, byte by byte as it comes. Pure; internal to docker/.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "docker/http.hpp"

namespace riverbox::docker {

class AnswerReader {
public:
  // `sink` gets the body of an answer with status 200, as Request::sink does; every other body is collected.
  AnswerReader(std::string action, std::function<void(std::string_view)> sink) : action_(std::move(action)), sink_(std::move(sink)) {}
  // Throws DockerConnectionError for what is no HTTP answer, and what the sink throws.
  void feed(std::string_view bytes);
  // The daemon has closed the connection. Throws DockerConnectionError when it had more to say.
  void end();
  bool complete() const { return at_ == At::complete; }
  // Of the complete answer.
  Response& response() { return response_; }

private:
  enum class At { head, body, rest, chunk_size, chunk, chunk_end, trailer, complete };
  // Takes the line that `bytes` continues; nullopt while its end is missing.
  std::optional<std::string> take_line(std::string_view& bytes, size_t max_bytes);
  void take_head_line(const std::string& line);
  void end_of_head();
  void take_chunk_size(const std::string& line);
  void take_body(std::string_view bytes);
  [[noreturn]] void fail();

  std::string action_;
  std::function<void(std::string_view)> sink_;
  At at_ = At::head;
  Response response_;
  std::string line_;
  size_t head_bytes_ = 0;
  bool chunked_ = false;
  std::optional<std::uint64_t> length_;
  std::uint64_t left_ = 0;  // of the body or of the chunk
};

}  // namespace riverbox::docker
