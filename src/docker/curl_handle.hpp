// libcurl with owners: global start, handles, what every transfer to the daemon has in common, and its errors in our words.
// Internal to docker/.
#pragma once
#include <curl/curl.h>

#include <memory>
#include <string>
#include <utility>

#include "docker/engine.hpp"

namespace riverbox::docker {

struct EasyDelete {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct MultiDelete {
  void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};
using Easy = std::unique_ptr<CURL, EasyDelete>;
using Multi = std::unique_ptr<CURLM, MultiDelete>;

// Both run curl_global_init once. Throw InternalError when there is no memory.
Easy make_easy();
Multi make_multi();

class HeaderList {
public:
  HeaderList() = default;
  HeaderList(HeaderList&& other) noexcept : list_(std::exchange(other.list_, nullptr)) {}
  ~HeaderList() { curl_slist_free_all(list_); }
  void add(const std::string& line);
  curl_slist* get() const { return list_; }

private:
  curl_slist* list_ = nullptr;
};

// The URL of `path` ("/_ping") on the daemon.
std::string url_of(const Endpoint& endpoint, const std::string& path);

// Socket or TLS files, no proxy, no redirect, no cookies, no signals, 5 s to connect, keep-alive probes.
void configure(CURL* easy, const Endpoint& endpoint);

// Throws the DockerConnectionError that explains `code`: what to start, to join or to check.
// `action` is "create container 'x'"; `detail` is libcurl's error buffer.
[[noreturn]] void throw_connection_error(CURL* easy, CURLcode code, const Endpoint& endpoint, const std::string& action,
                                         const std::string& detail);

// Connects and nothing more: what goes over the socket is the caller's. `error_buffer` (CURL_ERROR_SIZE) outlives `easy`. Returns the socket, which
// is the handle's. Throws DockerConnectionError.
int connect_only(CURL* easy, const Endpoint& endpoint, const std::string& action, char* error_buffer);

}  // namespace riverbox::docker
