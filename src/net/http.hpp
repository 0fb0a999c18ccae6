// HTTP messages as the rest of the program sees them, independent of the library underneath.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/peer.hpp"

namespace riverbox::net {

struct Request {
  // HEAD arrives as GET; the server leaves the body of the answer out.
  std::string method, path;                       // path: decoded per segment by the router, here still percent-encoded, without query
  std::map<std::string, std::string> query;       // decoded; the last of equal keys wins
  std::map<std::string, std::string> headers;     // names in lower case
  std::string body;
  std::string remote_address;                     // "127.0.0.1:51234"; "unix:1000:2345" (user, process)
  std::optional<LocalUser> local_user;            // it came over the unix socket
  bool secure = false;                            // it came through TLS
  const std::string* header(std::string_view lower_name) const;
};

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;
};

// {"detail": ...}, the shape of every error of the API. Invalid UTF-8 is replaced.
Response error_response(int status, std::string_view detail);
// The "detail" of such a body, else the start of the body as printable text.
std::string error_detail(std::string_view body);
// "a=1&b=%20c" -> decoded pairs, '+' is a blank; an escape that is not one stays as it is.
std::map<std::string, std::string> parse_query(std::string_view text);
// True when a header such as "Connection: keep-alive, Upgrade" lists `lower_token`.
bool lists_token(const std::string* header, std::string_view lower_token);
// "Not Found"; "" for an unknown status.
std::string_view reason_phrase(int status);

// The body of a response that is made while it is sent. write() blocks until there is room (call it on a worker) and
// throws Cancelled once the client is gone.
class BodyWriter {
public:
  virtual ~BodyWriter() = default;
  virtual void write(std::string bytes) = 0;
  virtual bool client_gone() const = 0;
};

// The body of a response that goes on for hours, a piece now and then: nobody waits, so it needs no thread. Loop thread.
class OpenBody {
public:
  struct Events {
    std::function<void()> drained;  // all that was written has been taken
    std::function<void()> closed;   // exactly once: the client has gone, or has it all after finish()
  };
  virtual ~OpenBody() = default;                // unfinished: the connection is cut
  virtual void write(std::string bytes) = 0;    // queued; nothing happens once the client has gone
  virtual size_t queued_bytes() const = 0;      // for flow control: written, not yet taken
  virtual void finish() = 0;
};

// Answers one request, exactly once, from any thread, also when the client or the server has gone. One that is dropped
// without an answer answers 500.
class Responder {
public:
  virtual ~Responder() = default;
  virtual void send(Response response) = 0;
  // Sends the head (chunked, or with the Content-Length that `head.headers` names) and runs `produce` on the calling
  // thread; an exception cuts the connection. For HEAD `produce` is not run. On the loop thread write() cannot wait, so
  // there everything is queued.
  virtual void stream(Response head, const std::function<void(BodyWriter&)>& produce) = 0;
  // Sends the head, as above, and leaves the body to its new owner. Loop thread. Null, and no events, when nobody is to read it: for HEAD, or
  // because the client has gone.
  virtual std::unique_ptr<OpenBody> open(Response head, OpenBody::Events events) = 0;
};

}  // namespace riverbox::net
