#include "net/http_client.hpp"

#include <curl/curl.h>
#include <fmt/format.h>

#include <cstring>
#include <exception>
#include <initializer_list>
#include <mutex>

#include "base/error.hpp"
#include "base/strings.hpp"
#include "config.h"
#include "net/tls.hpp"
#include "net/url.hpp"

namespace riverbox::net {
namespace {

constexpr int kPollMs = 100;                      // how late a cancellation may be noticed
constexpr size_t kMaxKeptBodyBytes = 256u << 20;  // an answer that is not streamed

// One deleter each, because to the compiler every handle of libcurl is a void*.
struct EasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct MultiDeleter {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, ListDeleter>;

void append(HeaderList& list, const std::string& line) { list.reset(curl_slist_append(list.release(), line.c_str())); }

// libcurl asks for it while it makes its context; the pin lives as long as the client.
CURLcode pin_context(CURL*, void* context, void* pin) noexcept {
  check_pin(static_cast<ssl_ctx_st*>(context), *static_cast<const Fingerprint*>(pin));
  return CURLE_OK;
}

// What one request collects. The callbacks are C: an exception waits here until curl has returned.
struct Transfer {
  CURL* easy = nullptr;
  Response response;
  const std::function<void(std::string_view)>* on_body = nullptr;
  std::exception_ptr thrown;

  static size_t header(char* data, size_t size, size_t count, void* self) {
    return static_cast<Transfer*>(self)->guarded(&Transfer::take_header, {data, size * count});
  }

  static size_t body(char* data, size_t size, size_t count, void* self) {
    return static_cast<Transfer*>(self)->guarded(&Transfer::take, {data, size * count});
  }

  size_t guarded(void (Transfer::*work)(std::string_view), std::string_view bytes) {
    try {
      (this->*work)(bytes);
      return bytes.size();
    } catch (...) {
      thrown = std::current_exception();
      return 0;
    }
  }

  void take_header(std::string_view bytes) {
    const std::string_view line = trim(bytes);
    const size_t colon = line.find(':');
    if (line.starts_with("HTTP/")) {
      response = {};  // the head of the final answer follows that of "100 Continue"
      response.content_type.clear();
    } else if (colon != std::string_view::npos) {
      const std::string name = to_lower(line.substr(0, colon));
      const std::string value(trim(line.substr(colon + 1)));
      if (name == "content-type")
        response.content_type = value;
      else
        response.headers.emplace_back(name, value);
    }
  }

  void take(std::string_view bytes) {
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (on_body && *on_body && status >= 200 && status < 300) return (*on_body)(bytes);
    if (response.body.size() + bytes.size() > kMaxKeptBodyBytes)
      throw BadData(fmt::format("the answer of the host is larger than {}", human_bytes(kMaxKeptBodyBytes)));
    response.body += bytes;
  }
};

void init_curl_once() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

}  // namespace

struct HttpClient::Impl {
  std::string base_url, shown_base, token;
  HttpUrl url;
  // The multi handle keeps the connections, and its poll lets us look at the cancel token, which curl_easy_perform
  // would do once a second.
  std::unique_ptr<CURLM, MultiDeleter> multi;
  std::unique_ptr<CURL, EasyDeleter> easy;

  HeaderList headers_for(const std::string& body, const Options& options) const {
    HeaderList list;
    append(list, "Expect:");  // the host checks a body's size by its Content-Length; waiting for 100 would cost a round trip
    if (!token.empty()) append(list, "Authorization: Bearer " + token);
    bool has_type = false;
    for (const auto& [name, value] : options.headers) {
      if (to_lower(name) == "content-type") has_type = true;
      append(list, name + ": " + value);
    }
    if (!body.empty() && !has_type) append(list, "Content-Type: application/json");
    return list;
  }

  void set_up(const std::string& method, const std::string& target, const std::string& body, const Options& options,
              const HeaderList& headers, Transfer& transfer) {
    CURL* c = easy.get();
    curl_easy_reset(c);
    transfer.easy = c;
    transfer.on_body = &options.on_body;
    const std::string address = base_url + target;
    curl_easy_setopt(c, CURLOPT_URL, address.c_str());
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "riverbox/" RIVERBOX_VERSION);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, static_cast<long>(options.total_timeout.count()));
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, &Transfer::header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, &transfer);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, &Transfer::body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &transfer);
    if (!url.unix_socket.empty()) curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, url.unix_socket.c_str());
    if (url.secure()) trust(c);
    if (method == "HEAD") {
      curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
    } else if (method != "GET" || !body.empty()) {
      curl_easy_setopt(c, CURLOPT_POST, 1L);
      curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
      curl_easy_setopt(c, CURLOPT_POSTFIELDS, body.data());
      curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method.c_str());
    }
  }

  void trust(CURL* c) {
    curl_easy_setopt(c, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    if (url.pin) {
      curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);  // the pinned one belongs to one host alone
      curl_easy_setopt(c, CURLOPT_SSL_CTX_FUNCTION, pin_context);
      curl_easy_setopt(c, CURLOPT_SSL_CTX_DATA, &*url.pin);
    } else if (const char* bundle = ca_bundle()) {
      curl_easy_setopt(c, CURLOPT_CAINFO, bundle);
    }
  }

  CURLcode run(const CancelToken& cancel, const std::string& what) {
    struct Added {  // also when cancelled: the connection is then closed, as its answer is still on the way
      CURLM* multi;
      CURL* easy;
      Added(CURLM* m, CURL* e) : multi(m), easy(e) { curl_multi_add_handle(m, e); }
      ~Added() { curl_multi_remove_handle(multi, easy); }
    } added(multi.get(), easy.get());
    for (int running = 1;;) {
      const CURLMcode code = curl_multi_perform(multi.get(), &running);
      if (code != CURLM_OK) throw InternalError(fmt::format("libcurl failed: {}", curl_multi_strerror(code)));
      if (running == 0) break;
      cancel.check(what.c_str());
      curl_multi_poll(multi.get(), nullptr, 0, kPollMs, nullptr);
    }
    int left = 0;
    const CURLMsg* message = curl_multi_info_read(multi.get(), &left);
    return message && message->msg == CURLMSG_DONE ? message->data.result : CURLE_FAILED_INIT;
  }

  [[noreturn]] void fail(CURLcode code, const std::string& what, const Options& options, const char* details) const {
    const std::string where = shown_base;
    const std::string start = "Start it with `riverbox host` (or `riverbox up`), or name another with --host URL.";
    long os_error = 0;
    curl_off_t ready_us = 0;
    curl_easy_getinfo(easy.get(), CURLINFO_OS_ERRNO, &os_error);
    curl_easy_getinfo(easy.get(), CURLINFO_PRETRANSFER_TIME_T, &ready_us);
    const std::string reason = os_error ? strerror(static_cast<int>(os_error)) : *details ? details : curl_easy_strerror(code);
    switch (code) {
      case CURLE_OPERATION_TIMEDOUT:
        if (ready_us == 0) throw Unavailable(fmt::format("cannot reach the host at {}: no answer within {} ms", where, options.connect_timeout.count()), start);
        throw Timeout(fmt::format("{} got no full answer from {} within {} ms", what, where, options.total_timeout.count()));
      case CURLE_COULDNT_RESOLVE_HOST:
        throw Unavailable(fmt::format("cannot reach the host at {}: unknown host name \"{}\"", where, url.host), start);
      case CURLE_COULDNT_CONNECT:
        throw Unavailable(fmt::format("cannot reach the host at {}: {}", where, reason), start);
      case CURLE_PEER_FAILED_VERIFICATION:
      case CURLE_SSL_CACERT_BADFILE:
        throw Unavailable(fmt::format("cannot trust the host at {}: {}", where, *details ? details : reason), advice_about(*details ? details : reason, url.pin.has_value()));
      case CURLE_SSL_CONNECT_ERROR:
        throw Unavailable(fmt::format("cannot reach the host at {}: {}", where, *details ? details : reason),
                          url.pin ? "Does `riverbox host` run there, with [security] tls, and has it room for more connections?" : "Does it speak TLS there? If [security] tls is off on the host, write http:// instead.");
      default:
        throw Unavailable(fmt::format("{} failed: the connection to the host at {} broke: {}", what, where, reason),
                          "Check that the host is running (`riverbox doctor`), then try again.");
    }
  }
};

HttpClient::HttpClient(std::string base_url, std::string bearer_token) : impl_(std::make_unique<Impl>()) {
  init_curl_once();
  while (base_url.ends_with('/')) base_url.pop_back();
  impl_->url = HttpUrl::parse(base_url);
  const std::string path = impl_->url.target == "/" ? "" : impl_->url.target;
  impl_->base_url = fmt::format("{}://{}{}", impl_->url.scheme, impl_->url.authority(), path);
  impl_->shown_base = impl_->url.unix_socket.empty() ? fmt::format("{}://{}", impl_->url.scheme, impl_->url.authority()) : "unix://" + impl_->url.unix_socket;
  impl_->token = std::move(bearer_token);
  impl_->multi.reset(curl_multi_init());
  impl_->easy.reset(curl_easy_init());
  if (!impl_->multi || !impl_->easy) throw InternalError("libcurl cannot be initialised");
}

HttpClient::~HttpClient() = default;

Response HttpClient::request(const std::string& method, const std::string& target, std::string body, const Options& options,
                             const CancelToken& cancel) {
  const std::string what = fmt::format("{} {}", method, printable(target.substr(0, target.find('?')), 200));
  const HeaderList headers = impl_->headers_for(body, options);
  Transfer transfer;
  char details[CURL_ERROR_SIZE] = "";
  impl_->set_up(method, target, body, options, headers, transfer);
  curl_easy_setopt(impl_->easy.get(), CURLOPT_ERRORBUFFER, details);
  const CURLcode code = impl_->run(cancel, what);
  curl_easy_setopt(impl_->easy.get(), CURLOPT_ERRORBUFFER, nullptr);
  if (transfer.thrown) std::rethrow_exception(transfer.thrown);
  if (code != CURLE_OK) impl_->fail(code, what, options, details);
  long status = 0;
  curl_easy_getinfo(impl_->easy.get(), CURLINFO_RESPONSE_CODE, &status);
  transfer.response.status = static_cast<int>(status);
  return std::move(transfer.response);
}

Response HttpClient::request(const std::string& method, const std::string& target, std::string body) {
  return request(method, target, std::move(body), Options{});
}

}  // namespace riverbox::net
