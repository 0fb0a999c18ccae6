// The host as this machine reaches it: whether it answers and takes the token, what time it has, and who holds its port.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>
#include <cmath>
#include <ctime>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "base/time.hpp"
#include "doctor/checks.hpp"
#include "net/host_access.hpp"
#include "net/http_client.hpp"
#include "net/listener.hpp"
#include "net/security.hpp"
#include "net/url.hpp"
#include "os/fd.hpp"
#include "runner/joining.hpp"

namespace riverbox::doctor {
namespace {

constexpr double kTolerableSkew = 2;  // seconds; the Date header has whole ones

struct Way {
  std::string url;
  std::optional<std::string> token;  // "": there is none; nullopt: it cannot be read, which is for another check to say
};

// How a runner or a command of this machine comes to the host.
Way way_to_host(const Situation& here) {
  const Config& config = here.config;
  const bool is_runner = here.runner && !here.host;
  std::string url = config.url();
  try {
    if (!is_runner) {
      auto access = net::host_access(config);
      return {std::move(access.url), std::move(access.token)};
    }
    if (config.host_url.empty()) url = runner::joined_host(config).value_or(url);
    const auto own = config.security.token.empty() ? runner::own_token(config) : std::nullopt;
    return {url, own ? *own : net::client_token(config)};
  } catch (const Error&) {
    return {url, std::nullopt};
  }
}

std::string mend_token(const Situation& here) {
  if (here.runner && !here.host) return fmt::format("riverbox runner join --host {} TOKEN, with the one that `riverbox node join-command` prints on the host", here.config.url());
  if (here.host) return "run this as the user who runs the host, or: " + as_root("riverbox token create " + here.user);
  return fmt::format("on the host: riverbox token create {}; here put it into {} (mode 0600)", here.user, here.config.security.token_file.string());
}

std::string text_in(const nlohmann::json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

Findings token_finding(const Situation& here, net::HttpClient& client, bool has_token) {
  const net::Response answer = client.request("GET", "/api/whoami");
  if (answer.status == 401) return problem(has_token ? "the host does not take our token" : "the host wants a token, and there is none here", mend_token(here));
  if (answer.status == 403 && here.runner) return ok("the host takes the identity of this runner");  // which is good for nothing else
  if (answer.status != 200) return problem(fmt::format("the host answers with status {}: {}", answer.status, net::error_detail(answer.body)), mend_token(here));
  const auto me = nlohmann::json::parse(answer.body, nullptr, false);
  if (text_in(me, "role").empty())
    return warning("authentication is off: whoever reaches the host is root on every node", "on the host, set auth = \"token\" below [security], then: " + start_command("host", true));
  return ok(fmt::format("the host takes our token: {}, role {}", text_in(me, "user"), text_in(me, "role")));
}

// How far the clock of the host is ahead of ours; nullopt: it does not say.
std::optional<double> seconds_ahead(const net::Response& answer, WallTime sent, WallTime received) {
  for (const auto& [name, value] : answer.headers) {
    std::tm date{};
    if (name != "date" || !::strptime(value.c_str(), "%a, %d %b %Y %H:%M:%S", &date)) continue;
    const std::chrono::duration<double> ours = sent.time_since_epoch() + (received - sent) / 2;
    return static_cast<double>(::timegm(&date)) + 0.5 - ours.count();
  }
  return std::nullopt;
}

std::optional<net::Response> version_of(const std::string& url) {
  try {
    net::HttpClient client(url, "");
    auto answer = client.request("GET", "/api/version");
    if (answer.status == 200 && nlohmann::json::parse(answer.body, nullptr, false).is_object()) return answer;
  } catch (const Error&) {
  }
  return std::nullopt;
}

// 0, or the errno that a start of the host would meet.
int bind_error(const std::string& address, std::uint16_t port) {
  sockaddr_in6 v6{.sin6_family = AF_INET6, .sin6_port = htons(port)};
  sockaddr_in v4{.sin_family = AF_INET, .sin_port = htons(port)};
  const bool is_v6 = ::inet_pton(AF_INET6, address.c_str(), &v6.sin6_addr) == 1;
  if (!is_v6 && ::inet_pton(AF_INET, address.c_str(), &v4.sin_addr) != 1) v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const os::UniqueFd fd(::socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int yes = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  const int failed = is_v6 ? ::bind(fd.get(), reinterpret_cast<sockaddr*>(&v6), sizeof v6) : ::bind(fd.get(), reinterpret_cast<sockaddr*>(&v4), sizeof v4);
  return failed ? errno : 0;
}

}  // namespace

Findings look_at_host(const Situation& here) {
  const auto [address, token] = way_to_host(here);
  const std::string url = net::shown_host(address);
  const auto begin = std::chrono::steady_clock::now();
  try {
    net::HttpClient client(address, token.value_or(""));
    const net::Response answer = client.request("GET", "/api/version");
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
    const std::string version = text_in(nlohmann::json::parse(answer.body, nullptr, false), "version");
    if (answer.status != 200 || version.empty()) return problem(fmt::format("what answers at {} is no host of riverbox", url), "riverbox doctor --host URL");
    Findings out = ok(fmt::format("riverbox {} answers at {} within {} ms", version, url, took.count() + 1));
    if (token) add(out, token_finding(here, client, !token->empty()));
    return out;
  } catch (const Error& error) {
    return problem(error.fact(), here.remote_host() ? fmt::format("ssh {} sudo systemctl start riverbox-host, or name another with --host URL", net::HttpUrl::parse(url).host)
                                                    : start_command("host", false));
  }
}

Findings look_at_clock(const Situation& here) {
  if (!here.remote_host()) return {};
  const WallTime sent = wall_now();
  const auto answer = version_of(way_to_host(here).url);
  const auto ahead = answer ? seconds_ahead(*answer, sent, wall_now()) : std::nullopt;
  if (!ahead) return {};  // that it does not answer has been said
  if (std::abs(*ahead) <= kTolerableSkew) return ok("the clock of the host is ours, to the second");
  return warning(fmt::format("the clock of the host is {} s {} ours", std::lround(std::abs(*ahead)), *ahead > 0 ? "ahead of" : "behind"),
                 as_root("timedatectl set-ntp true, on the one that is wrong"));
}

Findings look_at_port(const Situation& here) {
  const std::uint16_t port = here.config.network.host_port;
  const std::string name = fmt::format("port {}", port);
  const int error = bind_error(here.config.network.host_bind_ip, port);
  if (error == 0) return ok(name + " is free");
  if (error == EACCES) return warning(name + " needs root or CAP_NET_BIND_SERVICE", "riverbox host --port 8000");
  if (error != EADDRINUSE) return problem(IoError("listen on " + here.config.network.host_bind_ip, error).fact(), "riverbox host --bind 0.0.0.0");
  const auto owner = net::port_owner(port);
  const bool ours = owner && (owner->starts_with("riverbox") || owner->starts_with("hakuriver") || owner->starts_with("systemd "));
  if (ours) return ok(fmt::format("{} is held by {}", name, *owner));
  if (!owner && version_of("http://127.0.0.1:" + std::to_string(port))) return ok(name + " is held by a host of riverbox");
  return problem(fmt::format("{} is held by {}", name, owner.value_or("a process of somebody else")),
                 fmt::format("stop that program ({}), or: riverbox host --port 8123", as_root(fmt::format("ss -ltnp sport = :{}", port))));
}

}  // namespace riverbox::doctor
