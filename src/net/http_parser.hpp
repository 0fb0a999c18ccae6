// Beast's request parser behind a small face: bytes in, one Request out. Only http_parser.cpp knows Beast's HTTP.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "net/http.hpp"

namespace riverbox::net {

class HttpParser {
public:
  explicit HttpParser(std::uint64_t max_body_bytes);
  ~HttpParser();

  struct Refusal {
    int status = 0;  // 0: none
    std::string detail;
  };
  // Takes what it can of `bytes` and returns how many that were; fewer than all of them with nothing done yet means that it
  // must see more at once. Stops after the head, so that the owner can look at it, and after the message.
  size_t put(std::string_view bytes, Refusal& refusal);
  bool head_done() const;
  bool done() const;

  // After the head:
  bool keep_alive() const;
  bool http_1_0() const;
  bool expects_continue() const;
  bool has_body() const;
  // What the parser lets pass although one reading of RFC 9112 would differ from another: smuggling lives there.
  Refusal check_head() const;
  Request take_request(std::string remote_address);

private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace riverbox::net
