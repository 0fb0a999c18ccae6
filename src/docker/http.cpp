#include "docker/http.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <exception>

#include "base/strings.hpp"
#include "docker/curl_handle.hpp"

namespace riverbox::docker {

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxIdleChannels = 8;
constexpr size_t kMaxCollectedBytes = 64u << 20;  // the biggest honest answer is a list of all containers
constexpr int kPollMs = 150;                      // how late a cancellation can be noticed
constexpr long kDownloadBufferBytes = 512 << 10, kUploadBufferBytes = 2 << 20;  // libcurl's maxima: images are gigabytes

// The state of one exchange, reached by libcurl's callbacks. No exception may cross libcurl: it waits in `failure`.
struct Transfer {
  const Request& request;
  Response response;
  Clock::time_point last_byte = Clock::now();
  std::uint64_t sent_bytes = 0;
  std::exception_ptr failure;

  bool guarded(const std::function<void()>& work) {
    try {
      work();
      return true;
    } catch (...) {
      failure = std::current_exception();
      return false;
    }
  }

  void header(std::string_view line) {
    last_byte = Clock::now();
    if (line.starts_with("HTTP/")) {  // again after "100 Continue"
      auto space = line.find(' ');
      auto status = space == line.npos ? std::nullopt : parse_u64(line.substr(space + 1, 3));
      response.status = status ? static_cast<long>(*status) : 0;
      return;
    }
    auto colon = line.find(':');
    if (colon == line.npos) return;
    auto name = to_lower(line.substr(0, colon));
    auto value = std::string(trim(line.substr(colon + 1)));
    if (name == "api-version") response.api_version = value;
    if (name == "server") response.server = value;
  }

  void received(std::string_view bytes) {
    if (request.sink && response.status == 200) return request.sink(bytes);
    if (response.body.size() + bytes.size() > kMaxCollectedBytes)
      throw DockerError("cannot " + request.action + ": the answer of the Docker daemon is longer than " +
                        human_bytes(kMaxCollectedBytes));
    response.body.append(bytes);
  }

  size_t send(char* buffer, size_t size) {
    size = static_cast<size_t>(std::min<std::uint64_t>(size, request.source_bytes - sent_bytes));
    if (size == 0) return 0;
    size_t got = request.source(buffer, size);
    // libcurl would wait for ever for an answer to a body that is too short
    if (got == 0)
      throw ImageImportError("cannot " + request.action + ": the data ended after " + std::to_string(sent_bytes) + " of " +
                             std::to_string(request.source_bytes) + " bytes");
    sent_bytes += got;
    last_byte = Clock::now();
    return got;
  }
};

size_t on_header(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  return transfer.guarded([&] { transfer.header({data, size * count}); }) ? size * count : 0;
}

size_t on_body(char* data, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (size * count == 0) return 0;
  bool taken = transfer.guarded([&] { transfer.received({data, size * count}); });
  transfer.last_byte = Clock::now();  // a slow sink is not a silent daemon
  return taken ? size * count : 0;
}

size_t on_read(char* buffer, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  size_t got = 0;
  return transfer.guarded([&] { got = transfer.send(buffer, size * count); }) ? got : CURL_READFUNC_ABORT;
}

}  // namespace

// A libcurl multi handle with its one connection. The multi handle, not curl_easy_perform, because only then is the
// wait ours: a cancellation is seen at once although no byte moves.
struct Http::Channel {
  Easy easy = make_easy();
  Multi multi = make_multi();  // destroyed first: it still refers to the easy handle's connection
  char error[CURL_ERROR_SIZE] = {};

  Channel() { curl_multi_setopt(multi.get(), CURLMOPT_MAXCONNECTS, 1L); }

  template <class Value>
  void set(CURLoption option, Value value) {
    if (auto code = curl_easy_setopt(easy.get(), option, value); code != CURLE_OK)
      throw InternalError("libcurl refuses option " + std::to_string(option) + ": " + curl_easy_strerror(code));
  }

  void prepare(const Endpoint& endpoint, const Request& request, Transfer& transfer, HeaderList& headers) {
    curl_easy_reset(easy.get());  // keeps the connection
    configure(easy.get(), endpoint);
    error[0] = '\0';
    set(CURLOPT_ERRORBUFFER, error);
    set(CURLOPT_URL, url_of(endpoint, request.path).c_str());
    set(CURLOPT_HEADERFUNCTION, on_header);
    set(CURLOPT_HEADERDATA, static_cast<void*>(&transfer));
    set(CURLOPT_WRITEFUNCTION, on_body);
    set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
    if (request.sink) set(CURLOPT_BUFFERSIZE, kDownloadBufferBytes);
    for (auto& line : request.headers) headers.add(line);
    headers.add("Expect:");  // no second round trip before the body
    prepare_body(request, transfer, headers);
    set(CURLOPT_HTTPHEADER, headers.get());
  }

  void prepare_body(const Request& request, Transfer& transfer, HeaderList& headers) {
    if (request.source) {
      set(CURLOPT_POST, 1L);
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.source_bytes));
      set(CURLOPT_READFUNCTION, on_read);
      set(CURLOPT_READDATA, static_cast<void*>(&transfer));
      set(CURLOPT_UPLOAD_BUFFERSIZE, kUploadBufferBytes);
      set(CURLOPT_FRESH_CONNECT, 1L);  // a stale connection could not be replaced: the source cannot be rewound
      headers.add("Content-Type: application/x-tar");
    } else if (request.method == "POST") {
      set(CURLOPT_POST, 1L);
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
      set(CURLOPT_POSTFIELDS, request.body.c_str());
      headers.add("Content-Type: application/json");
    } else if (request.method != "GET") {
      set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
    }
  }

  // Drives the exchange to its end. Throws what a callback threw, or why the wait is over.
  CURLcode drive(const Request& request, Transfer& transfer) {
    for (;;) {
      int running = 0;
      if (auto code = curl_multi_perform(multi.get(), &running); code != CURLM_OK)
        throw InternalError("libcurl failed: " + std::string(curl_multi_strerror(code)));
      if (transfer.failure) std::rethrow_exception(transfer.failure);
      int left = 0;
      if (auto* message = curl_multi_info_read(multi.get(), &left); message && message->msg == CURLMSG_DONE)
        return message->data.result;
      if (request.cancel) request.cancel->check(request.action.c_str());
      if (request.silence.count() > 0 && Clock::now() - transfer.last_byte > request.silence)
        throw DockerConnectionError(
            fmt::format("cannot {}: the Docker daemon did not answer within {:g} s", request.action,
                        static_cast<double>(request.silence.count()) / 1000),
            "It accepts connections but seems stuck: look at its log (journalctl -u docker) or restart it.");
      curl_multi_poll(multi.get(), nullptr, 0, kPollMs, nullptr);
    }
  }
};

Http::Http(Endpoint endpoint) : endpoint_(std::move(endpoint)) {}
Http::~Http() = default;

std::unique_ptr<Http::Channel> Http::take() {
  std::lock_guard lock(mutex_);
  if (idle_.empty()) return std::make_unique<Channel>();
  auto channel = std::move(idle_.back());
  idle_.pop_back();
  return channel;
}

void Http::give_back(std::unique_ptr<Channel> channel) {
  std::lock_guard lock(mutex_);
  if (idle_.size() < kMaxIdleChannels) idle_.push_back(std::move(channel));
}

Response Http::perform(const Request& request) {
  if (request.cancel) request.cancel->check(request.action.c_str());
  HeaderList headers;
  Transfer transfer{request};
  auto channel = take();
  channel->prepare(endpoint_, request, transfer, headers);
  curl_multi_add_handle(channel->multi.get(), channel->easy.get());
  // Leaving by an exception closes the connection: its other end is in an unknown state.
  struct Detach {
    Channel& channel;
    ~Detach() { curl_multi_remove_handle(channel.multi.get(), channel.easy.get()); }
  };
  {
    Detach detach{*channel};
    if (auto code = channel->drive(request, transfer); code != CURLE_OK)
      throw_connection_error(channel->easy.get(), code, endpoint_, request.action, channel->error);
  }
  give_back(std::move(channel));
  return std::move(transfer.response);
}

std::string path_segment(std::string_view text, const char* what) {
  bool control = std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
  if (text.empty() || text == "." || text == ".." || control)
    throw InvalidInput("'" + printable(text) + "' is not a " + what);
  return percent_encoded(text);
}

}  // namespace riverbox::docker
