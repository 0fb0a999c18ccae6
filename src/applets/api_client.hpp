// The host's HTTP API as the commands see it: JSON in, JSON out, and errors that say what to do.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "applets/cli.hpp"
#include "applets/output.hpp"
#include "base/cancel.hpp"
#include "base/config.hpp"
#include "base/json.hpp"
#include "net/host_access.hpp"

namespace riverbox::net {
class HttpClient;
struct Response;
}

namespace riverbox::applets {

// The configuration of a command: --config or the usual file, the environment, then --host. Throws ConfigError, UsageError.
Config config_of(const Arguments& arguments);
Config config_of(const std::optional<std::string>& file, const std::optional<std::string>& host);
// The same for a client, with the warnings on stderr.
Config client_config(const Arguments& arguments);

// "node0" -> "http://node0:8000", "node0:9000/" -> "http://node0:9000". Throws UsageError.
std::string normalised_url(const std::string& text, std::uint16_t default_port);

// One segment of a path, percent-encoded. Throws InvalidInput for "", "." and "..", which no URL can carry.
std::string path_segment(const std::string& name);

struct Progress {
  std::string step;
  std::uint64_t bytes = 0, total_bytes = 0;
};

// Reads an answer that is either NDJSON with progress (docs/api.md) or one JSON document, as older hosts send.
class AnswerReader {
public:
  explicit AnswerReader(std::function<void(const Progress&)> on_progress) : on_progress_(std::move(on_progress)) {}
  void feed(std::string_view bytes);
  struct Answer {
    int status = 0;
    Json body;
  };
  // After the last byte. `http_status` counts when the body has no status of its own. Throws BadData when the answer ended in the middle.
  Answer finish(int http_status);

private:
  void line(const std::string& text);
  std::function<void(const Progress&)> on_progress_;
  std::string pending_, other_;
  bool saw_progress_ = false, done_ = false;
  Answer answer_;
};

class ApiClient {
public:
  explicit ApiClient(const Config& config);
  ~ApiClient();
  const std::string& url() const { return access_.url; }
  const std::string& token() const { return access_.token; }

  // All throw HostRefusal (the host's own "detail"), Unauthorized, Forbidden, Unavailable, Timeout, BadData.
  Json get(const std::string& path, std::chrono::milliseconds timeout = std::chrono::seconds(30));
  // The same as JSON text with two-space indent, in the order of the answer. One that the host indented itself is not taken apart: megabytes of it.
  std::string get_text(const std::string& path, std::chrono::milliseconds timeout = std::chrono::seconds(30));
  // A text of any length, piece by piece. Returns the head of the answer.
  net::Response copy_text(const std::string& path, const std::function<void(std::string_view)>& sink);
  Json post(const std::string& path, const Json& body = nullptr, std::chrono::milliseconds timeout = std::chrono::seconds(30));
  Json remove(const std::string& path, std::chrono::milliseconds timeout = std::chrono::seconds(60));  // DELETE
  // For work that takes minutes: no time limit, progress as it comes. Cancelled when `cancel` is set.
  Json post_long(const std::string& path, const Json& body, const std::function<void(const Progress&)>& on_progress,
                 const CancelToken& cancel);
  // The exception for an answer >= 400.
  [[noreturn]] void refuse(int status, const std::string& body) const;

private:
  std::string get_body(const std::string& path, std::chrono::milliseconds timeout);
  net::HostAccess access_;
  std::string url_, token_file_;  // the URL as it is shown
  std::unique_ptr<net::HttpClient> http_;
};

// Ctrl-C sets the token once; a second one ends the program as usual. One at a time.
class InterruptToken {
public:
  InterruptToken();
  ~InterruptToken();
  InterruptToken(InterruptToken&&) = delete;
  const CancelToken& token() const { return token_; }

private:
  CancelToken token_;
};

}  // namespace riverbox::applets
