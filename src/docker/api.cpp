#include "docker/api.hpp"

#include "base/strings.hpp"
#include "docker/json_fields.hpp"

namespace riverbox::docker {

namespace {

std::pair<unsigned long long, unsigned long long> parts_of(std::string_view version) {
  auto dot = version.find('.');
  if (dot == version.npos) return {0, 0};
  return {parse_u64(version.substr(0, dot)).value_or(0), parse_u64(version.substr(dot + 1)).value_or(0)};
}

// The daemon was replaced by one that does not speak the version we had agreed on.
bool refuses_version(const Response& response) {
  return response.status == 400 && response.body.find("client version") != response.body.npos &&
         response.body.find(" is too ") != response.body.npos;
}

}  // namespace

bool api_less(std::string_view left, std::string_view right) { return parts_of(left) < parts_of(right); }

Response Api::ping(std::chrono::milliseconds limit) {
  Request request;
  request.action = "talk to the Docker daemon";
  request.path = "/_ping";
  request.silence = limit;
  auto response = http_.perform(request);
  if (response.status != 200) {
    bool wants_tls = response.body.find("HTTPS server") != response.body.npos;  // what Go says to plain HTTP
    throw DockerConnectionError("cannot talk to the Docker daemon at " + endpoint().host + ": it answers /_ping with status " +
                                    std::to_string(response.status) + " " + printable(trim(response.body)),
                                wants_tls ? "Set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH."
                                          : "Check DOCKER_HOST and the daemon's log (journalctl -u docker).");
  }
  return response;
}

std::string Api::negotiated() {
  {
    std::lock_guard lock(mutex_);
    if (negotiated_) return *negotiated_;
  }
  auto theirs = ping(kQuick).api_version;
  if (theirs.empty())
    throw DockerConnectionError("cannot talk to the Docker daemon at " + endpoint().host +
                                    ": what answers there is not a Docker Engine (no Api-Version)",
                                "Check DOCKER_HOST.");
  if (api_less(theirs, kOldestApi))
    throw DockerError("cannot use the Docker daemon at " + endpoint().host + ": its API " + printable(theirs) +
                          " is older than " + kOldestApi,
                      "Upgrade Docker to 19.03 or newer.");
  std::string version = api_less(theirs, kNewestApi) ? theirs : kNewestApi;
  std::lock_guard lock(mutex_);
  negotiated_ = version;
  return version;
}

void Api::forget_version() {
  std::lock_guard lock(mutex_);
  negotiated_.reset();
}

Response Api::send(Call call) {
  const std::string path = call.request.path;
  for (bool again = false;; again = true) {
    call.request.path = "/v" + negotiated() + path;
    Response response;
    try {
      response = http_.perform(call.request);
    } catch (const DockerConnectionError&) {
      forget_version();
      throw;
    }
    if (refuses_version(response)) {
      forget_version();
      if (!again && !call.request.source) continue;
      throw DockerError("cannot " + call.request.action + ": the Docker daemon does not speak API " + kNewestApi +
                            " or older: " + printable(text(nlohmann::json::parse(response.body, nullptr, false), "message")),
                        "Use a newer riverbox or an older Docker Engine.");
    }
    bool fine = (response.status >= 200 && response.status < 300) || (response.status == 304 && call.not_modified_is_fine);
    if (!fine) throw_refusal(call, response.status, response.body);
    return response;
  }
}

nlohmann::json Api::ask(Call call) {
  std::string action = call.request.action;
  return parse_answer(send(std::move(call)).body, action);
}

nlohmann::json parse_answer(const std::string& body, const std::string& action) {
  auto json = nlohmann::json::parse(body, nullptr, false);
  if (json.is_discarded())
    throw DockerError("cannot " + action + ": the Docker daemon's answer is not JSON: '" + printable(body, 80) + "'",
                      "Check that DOCKER_HOST names a Docker Engine.");
  return json;
}

std::string query(std::initializer_list<std::pair<std::string_view, std::string>> fields) {
  std::string result;
  for (auto& [key, value] : fields)
    result += (result.empty() ? "?" : "&") + std::string(key) + "=" + percent_encoded(value);
  return result;
}

}  // namespace riverbox::docker
