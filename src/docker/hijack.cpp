// "Hijacked" calls: after the head of the answer the connection carries the bytes of a process.
// libcurl connects (unix, TCP, TLS) and then only moves bytes (CONNECT_ONLY); the HTTP of this one exchange is ours.
#include <poll.h>
#include <sys/socket.h>

#include "base/strings.hpp"
#include "docker/curl_handle.hpp"
#include "docker/engine_impl.hpp"

namespace riverbox::docker {

namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kMaxHeadBytes = 64 << 10, kMaxRefusalBytes = 64 << 10;

class HijackedStream final : public Stream {
public:
  HijackedStream(const Endpoint& endpoint, const std::string& action) : endpoint_(endpoint), action_(action), easy_(make_easy()) {
    fd_ = connect_only(easy_.get(), endpoint_, action_, error_);
  }

  int wait_fd() const override { return fd_; }

  std::optional<size_t> read_some(char* buffer, size_t size) override {
    size_t got = 0;
    auto code = curl_easy_recv(easy_.get(), buffer, size, &got);
    if (code == CURLE_AGAIN) return std::nullopt;
    if (code == CURLE_UNSUPPORTED_PROTOCOL) return 0;  // libcurl's word for a connection that it has seen closed
    if (code != CURLE_OK) fail(code);
    return got;
  }

  std::optional<size_t> write_some(const char* bytes, size_t size) override {
    size_t sent = 0;
    auto code = curl_easy_send(easy_.get(), bytes, size, &sent);
    if (code == CURLE_AGAIN) return std::nullopt;
    if (code != CURLE_OK) fail(code);
    return sent;
  }

  void shutdown_write() override {
    if (!endpoint_.tls) ::shutdown(fd_, SHUT_WR);
  }

  // Blocking versions for the head. Throw DockerConnectionError at the end of `until`.
  void write_all(std::string_view bytes, Clock::time_point until) {
    while (!bytes.empty()) {
      if (auto sent = write_some(bytes.data(), bytes.size())) bytes.remove_prefix(*sent);
      else wait_for(POLLOUT, until);
    }
  }
  size_t read_wait(char* buffer, size_t size, Clock::time_point until) {
    for (;;) {
      if (auto got = read_some(buffer, size)) return *got;
      wait_for(POLLIN, until);
    }
  }

private:
  void wait_for(short events, Clock::time_point until) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
    pollfd waited{fd_, events, 0};
    if (left <= 0 || ::poll(&waited, 1, static_cast<int>(left)) == 0)
      throw DockerConnectionError("cannot " + action_ + ": the Docker daemon did not answer in time",
                                  "It accepts connections but seems stuck: look at its log (journalctl -u docker) or restart it.");
  }

  [[noreturn]] void fail(CURLcode code) { throw_connection_error(easy_.get(), code, endpoint_, action_, error_); }

  Endpoint endpoint_;
  std::string action_;
  char error_[CURL_ERROR_SIZE] = {};
  Easy easy_;
  int fd_ = -1;
};

// Everything up to the empty line. One byte at a time: what follows belongs to the process, and a byte of it that we
// held would not make wait_fd() readable.
std::string read_head(HijackedStream& stream, const std::string& action, Clock::time_point until) {
  std::string head;
  while (!head.ends_with("\r\n\r\n")) {
    char byte;
    if (head.size() == kMaxHeadBytes || (head.size() == 5 && head != "HTTP/"))
      throw DockerConnectionError("cannot " + action + ": what listens there does not answer like a Docker daemon", "Check DOCKER_HOST.");
    if (stream.read_wait(&byte, 1, until) == 0)
      throw DockerConnectionError("cannot " + action + ": the Docker daemon closed the connection without an answer",
                                  "It may be restarting: try again, and look at its log (journalctl -u docker).");
    head.push_back(byte);
  }
  return head;
}

// The JSON of a refusal, whether its body has a length, is chunked or ends with the connection.
std::string read_refusal(HijackedStream& stream, Clock::time_point until) {
  std::string body;
  char buffer[4096];
  while (body.size() < kMaxRefusalBytes && body.find('}') == body.npos) {
    size_t got = stream.read_wait(buffer, sizeof buffer, until);
    if (got == 0) break;
    body.append(buffer, got);
  }
  auto open = body.find('{'), close = body.rfind('}');
  return open == body.npos || close == body.npos || close < open ? body : body.substr(open, close - open + 1);
}

}  // namespace

std::unique_ptr<Stream> open_hijacked(Api& api, Call call) {
  auto& request = call.request;
  const std::string path = "/v" + api.negotiated() + request.path;
  try {
    auto stream = std::make_unique<HijackedStream>(api.endpoint(), request.action);
    const auto until = Clock::now() + request.silence;
    stream->write_all("POST " + path + " HTTP/1.1\r\nHost: docker\r\nUser-Agent: riverbox\r\nContent-Type: application/json\r\n" +
                          "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: " + std::to_string(request.body.size()) + "\r\n\r\n" +
                          request.body,
                      until);
    const std::string head = read_head(*stream, request.action, until);
    auto space = head.find(' ');
    long status = static_cast<long>(parse_u64(head.substr(space + 1, 3)).value_or(0));
    if (status == 101 || status == 200) return stream;
    throw_refusal(call, status, read_refusal(*stream, until));
  } catch (const DockerConnectionError&) {
    api.forget_version();
    throw;
  }
}

}  // namespace riverbox::docker
