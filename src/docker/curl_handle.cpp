#include "docker/curl_handle.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>

#include "os/fd.hpp"

namespace riverbox::docker {

namespace {

constexpr long kConnectTimeoutMs = 5000;

void start_curl() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) throw InternalError("cannot start libcurl");
  });
}

std::string socket_path(const Endpoint& endpoint) {
  return endpoint.host.starts_with("unix://") ? endpoint.host.substr(7) : std::string();
}

// "host:port" of a tcp:// endpoint, with the port of the docker CLI where none is given.
std::string authority(const Endpoint& endpoint) {
  std::string address = endpoint.host.substr(6);
  if (address.starts_with(':')) address.insert(0, "127.0.0.1");
  bool has_port = address.ends_with(']') ? false : address.rfind(':') != std::string::npos;
  if (!has_port) address += endpoint.tls ? ":2376" : ":2375";
  return address;
}

// Why a unix socket cannot be connected to; libcurl does not always keep the errno.
int connect_error(const std::string& path) {
  os::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return errno;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), std::min(path.size(), sizeof address.sun_path - 1));
  return ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

[[noreturn]] void throw_unix_error(const std::string& path, const std::string& action) {
  switch (int error = connect_error(path)) {
    case ENOENT:
      throw DockerConnectionError("cannot " + action + ": there is no Docker socket at " + path,
                                  "Install or start Docker (sudo systemctl start docker), or set DOCKER_HOST to where it listens.");
    case ECONNREFUSED:
      throw DockerConnectionError("cannot " + action + ": the Docker daemon is not running (nobody listens at " + path + ")",
                                  "Start it: sudo systemctl start docker.");
    case EACCES:
    case EPERM:
      throw DockerConnectionError("cannot " + action + ": permission denied on the Docker socket " + path,
                                  "Join the docker group (sudo usermod -aG docker $USER) and log in again.");
    case 0:
      throw DockerConnectionError("cannot " + action + ": the Docker daemon at " + path + " did not accept the connection in time",
                                  "Try again; if it stays so, look at the daemon's log (journalctl -u docker).");
    default:
      throw DockerConnectionError("cannot " + action + ": connecting to " + path + " failed: " + std::strerror(error),
                                  "Check DOCKER_HOST and the daemon (systemctl status docker).");
  }
}

bool is_tls_error(CURLcode code) {
  switch (code) {
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
      return true;
    default:
      return false;
  }
}

}  // namespace

Easy make_easy() {
  start_curl();
  Easy easy(curl_easy_init());
  if (!easy) throw InternalError("cannot make a libcurl handle");
  return easy;
}

Multi make_multi() {
  start_curl();
  Multi multi(curl_multi_init());
  if (!multi) throw InternalError("cannot make a libcurl handle");
  return multi;
}

void HeaderList::add(const std::string& line) {
  auto* longer = curl_slist_append(list_, line.c_str());
  if (!longer) throw std::bad_alloc();
  list_ = longer;
}

std::string url_of(const Endpoint& endpoint, const std::string& path) {
  if (!socket_path(endpoint).empty()) return "http://docker" + path;  // the name only fills the Host header
  return (endpoint.tls ? "https://" : "http://") + authority(endpoint) + path;
}

void configure(CURL* easy, const Endpoint& endpoint) {
  auto set = [easy](CURLoption option, auto value) {
    if (auto code = curl_easy_setopt(easy, option, value); code != CURLE_OK)
      throw InternalError("libcurl refuses option " + std::to_string(option) + ": " + curl_easy_strerror(code));
  };
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_HTTP_VERSION, long(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_NOPROXY, "*");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  set(CURLOPT_USERAGENT, "riverbox");
  if (auto path = socket_path(endpoint); !path.empty()) {
    set(CURLOPT_UNIX_SOCKET_PATH, path.c_str());
    return;
  }
  set(CURLOPT_TCP_KEEPALIVE, 1L);  // a machine that lost its power is noticed although most waits here have no limit
  set(CURLOPT_TCP_KEEPIDLE, 30L);
  set(CURLOPT_TCP_KEEPINTVL, 10L);
  if (!endpoint.tls || endpoint.cert_path.empty()) return;
  set(CURLOPT_CAINFO, (endpoint.cert_path + "/ca.pem").c_str());
  set(CURLOPT_SSLCERT, (endpoint.cert_path + "/cert.pem").c_str());
  set(CURLOPT_SSLKEY, (endpoint.cert_path + "/key.pem").c_str());
}

void throw_connection_error(CURL* easy, CURLcode code, const Endpoint& endpoint, const std::string& action,
                            const std::string& detail) {
  const std::string cause = detail.empty() ? curl_easy_strerror(code) : detail;
  const bool unix_socket = !socket_path(endpoint).empty();
  if (code == CURLE_COULDNT_CONNECT && unix_socket) throw_unix_error(socket_path(endpoint), action);
  if (code == CURLE_OPERATION_TIMEDOUT || code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
    throw DockerConnectionError("cannot " + action + ": the Docker daemon at " + endpoint.host + " cannot be reached: " + cause,
                                "Check DOCKER_HOST, the network and the daemon (systemctl status docker).");
  if (is_tls_error(code))
    throw DockerConnectionError("cannot " + action + ": TLS with the Docker daemon at " + endpoint.host + " failed: " + cause,
                                "Check ca.pem, cert.pem and key.pem in " + endpoint.cert_path + " and the clocks of both machines.");
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  if (code == CURLE_PARTIAL_FILE || (status != 0 && (code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR)))
    throw DockerConnectionError("cannot " + action + ": the Docker daemon closed the connection in the middle of its answer",
                                "It may be restarting: try again, and look at its log (journalctl -u docker).");
  if (code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR)
    throw DockerConnectionError("cannot " + action + ": the Docker daemon closed the connection without an answer",
                                "It may be restarting: try again, and look at its log (journalctl -u docker).");
  throw DockerConnectionError(
      "cannot " + action + ": what listens at " + endpoint.host + " does not answer like a Docker daemon: " + cause,
      "Check DOCKER_HOST" + std::string(endpoint.tls || unix_socket ? "." : "; a daemon with TLS needs DOCKER_TLS_VERIFY=1."));
}

int connect_only(CURL* easy, const Endpoint& endpoint, const std::string& action, char* error_buffer) {
  configure(easy, endpoint);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, error_buffer);
  curl_easy_setopt(easy, CURLOPT_URL, url_of(endpoint, "/").c_str());
  curl_easy_setopt(easy, CURLOPT_CONNECT_ONLY, 1L);
  if (const auto code = curl_easy_perform(easy); code != CURLE_OK) throw_connection_error(easy, code, endpoint, action, error_buffer);
  curl_socket_t socket = CURL_SOCKET_BAD;
  if (curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &socket) != CURLE_OK || socket == CURL_SOCKET_BAD)
    throw DockerConnectionError("cannot " + action + ": the Docker daemon closed the connection");
  return socket;
}

}  // namespace riverbox::docker
