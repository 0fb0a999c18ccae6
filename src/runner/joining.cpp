#include "runner/joining.hpp"

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/log.hpp"
#include "base/strings.hpp"
#include "net/http_client.hpp"
#include "net/security.hpp"
#include "net/url.hpp"
#include "os/atomic_file.hpp"
#include "os/fd.hpp"
#include "runner/inventory.hpp"

namespace riverbox::runner {

using nlohmann::json;

std::filesystem::path own_token_file(const Config& config) { return config.paths.state_dir / ("runner-" + node_name(config) + ".token"); }

namespace {

constexpr size_t kMaxUrlBytes = 4096;

std::filesystem::path joined_host_file(const Config& config) { return config.paths.state_dir / ("runner-" + node_name(config) + ".host"); }

}  // namespace

std::optional<std::string> joined_host(const Config& config) {
  const auto file = joined_host_file(config);
  if (!std::filesystem::exists(file)) return std::nullopt;
  const std::string url(trim(os::read_file(file, kMaxUrlBytes)));
  net::HttpUrl::parse(url);  // half a file or somebody else's is told here
  return url;
}

std::optional<std::string> own_token(const Config& config) { return net::read_token_file(own_token_file(config)); }

std::string join(const Config& config, const std::string& invitation) {
  const auto file = own_token_file(config);
  net::prepare_token_folder(file);  // before the host is asked: what it gives is given once
  const std::string host = net::shown_host(config.url());
  net::HttpClient client(config.url(), invitation);
  const auto answer = client.request("POST", "/api/nodes/join", json{{"node", node_name(config)}}.dump());
  const std::string said = net::error_detail(answer.body);
  if (answer.status == 401) throw Unauthorized("the host at " + host + " does not know this invitation, or its time is over", "On the host: riverbox node join-command.");
  if (answer.status == 409) throw Conflict("cannot join the host at " + host + ": " + said);
  if (answer.status == 404 || answer.status == 405) throw Unavailable("the host at " + host + " is too old for runners to join", "Give the runner the host's token with --token.");
  if (answer.status != 201) throw Unavailable("cannot join the host at " + host + ": " + said);
  const auto body = json::parse(answer.body, nullptr, false);
  const auto token = body.is_object() ? body.find("token") : body.end();
  if (!body.is_object() || token == body.end() || !token->is_string()) throw BadData("the host at " + host + " has answered without a token");
  os::write_atomically(joined_host_file(config), config.url() + "\n");
  net::write_token_file(file, token->get<std::string>());
  log::info("runner", "joined", {{"host", host}, {"node", node_name(config)}, {"identity", file.string()}});
  return token->get<std::string>();
}

}  // namespace riverbox::runner
