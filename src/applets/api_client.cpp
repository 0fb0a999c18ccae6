#include "applets/api_client.hpp"

#include <algorithm>
#include <csignal>

#include "applets/exit_codes.hpp"
#include "base/strings.hpp"
#include "net/http_client.hpp"
#include "net/url.hpp"

namespace riverbox::applets {

namespace {

constexpr size_t kMaxDetailBytes = 2000;
constexpr const char* kNdjson = "application/x-ndjson";

// What an error body says: {"detail": "..."} or FastAPI's list of {"loc","msg"}; else its text.
std::string detail_of(const std::string& body) {
  const Json json = Json::parse(body, nullptr, false);
  if (!json.is_object() || !json.contains("detail")) return std::string(trim(body.substr(0, kMaxDetailBytes)));
  const Json& detail = json["detail"];
  if (detail.is_string()) return detail.get<std::string>();
  if (!detail.is_array()) return detail.dump();
  std::vector<std::string> parts;
  for (const Json& item : detail) {
    const std::string where = item.is_object() && item.contains("loc") && item["loc"].is_array() && !item["loc"].empty()
                                  ? (item["loc"].back().is_string() ? item["loc"].back().get<std::string>() : item["loc"].back().dump()) + ": "
                                  : "";
    parts.push_back(where + text_of(item, "msg", item.dump()));
  }
  return join(parts, "; ");
}

BadData no_json(const std::string& body, const std::string& url) {
  return BadData("the answer of " + url + " is not JSON: '" + printable(body.substr(0, 80)) + "'.",
                 "Is that a riverbox host? Another one is named with --host URL.");
}

Json parse_answer(const std::string& body, const std::string& url) {
  Json json = Json::parse(body, nullptr, false);
  if (json.is_discarded()) throw no_json(body, url);
  return json;
}

const CancelToken* interrupted = nullptr;
void on_interrupt(int) {
  if (interrupted) interrupted->cancel();
}

}  // namespace

std::string normalised_url(const std::string& text, std::uint16_t default_port) {
  std::string url(trim(text));
  while (!url.empty() && url.back() == '/') url.pop_back();
  if (url.empty()) throw UsageError("the URL of the host is empty.", "Example: --host http://node0:8000");
  if (url.starts_with("unix://")) return url;
  const size_t scheme_end = url.find("://");
  if (scheme_end == std::string::npos) {
    const bool has_port = url.rfind(':') != std::string::npos && url.back() != ']';
    return "http://" + url + (has_port ? "" : ":" + std::to_string(default_port));
  }
  const std::string scheme = to_lower(url.substr(0, scheme_end));
  if (scheme != "http" && scheme != "https")
    throw UsageError("'" + printable(text) + "' is no URL of a host: it must begin with http://, https:// or unix://.", "Example: --host http://node0:8000");
  return scheme + url.substr(scheme_end);
}

Config config_of(const Arguments& arguments) { return config_of(arguments.find("--config"), arguments.find("--host")); }

Config config_of(const std::optional<std::string>& file, const std::optional<std::string>& host) {
  Config config = Config::load(file ? std::optional<std::filesystem::path>(*file) : std::nullopt);
  if (host) {
    config.host_url = *host;
    config.origin["host_url"] = "--host";
  }
  if (!config.host_url.empty()) config.host_url = normalised_url(config.host_url, config.network.host_port);
  return config;
}

Config client_config(const Arguments& arguments) {
  Config config = config_of(arguments);
  for (const std::string& warning : config.warnings) write_err(arguments.full_name + ": warning: " + printable(warning, kMaxDetailBytes) + "\n");
  return config;
}

std::string path_segment(const std::string& name) {
  if (name.empty() || name == "." || name == "..") throw InvalidInput("'" + name + "' cannot be a name.");
  return percent_encoded(name);
}

void AnswerReader::feed(std::string_view bytes) {
  pending_ += bytes;
  size_t begin = 0;
  for (size_t end; (end = pending_.find('\n', begin)) != std::string::npos; begin = end + 1) line(pending_.substr(begin, end - begin));
  pending_.erase(0, begin);
}

void AnswerReader::line(const std::string& text) {
  const Json json = done_ ? Json() : Json::parse(text, nullptr, false);
  if (json.is_object() && json.contains("progress") && json["progress"].is_object()) {
    saw_progress_ = true;
    const Json& p = json["progress"];
    const auto number = [&p](const char* key) {
      const auto it = p.find(key);
      return it != p.end() && it->is_number_unsigned() ? it->get<std::uint64_t>() : std::uint64_t{0};
    };
    on_progress_({.step = text_of(p, "step", "working"), .bytes = number("bytes"), .total_bytes = number("total_bytes")});
  } else if (json.is_object() && json.contains("status") && json["status"].is_number_integer() &&
             (json.contains("result") || json.contains("error"))) {
    done_ = true;
    answer_ = {json["status"].get<int>(), json.contains("result") ? json["result"] : json["error"]};
  } else {
    other_ += text + "\n";
  }
}

AnswerReader::Answer AnswerReader::finish(int http_status) {
  if (!pending_.empty()) line(std::exchange(pending_, {}));
  if (done_) return answer_;
  Json json = Json::parse(other_, nullptr, false);
  if (saw_progress_ || json.is_discarded())
    throw BadData(saw_progress_ ? "the host's answer ended in the middle of the work." : "the host's answer is not JSON.",
                  "The host may be restarting; look at what it has done and try again.");
  return {http_status, std::move(json)};
}

ApiClient::ApiClient(const Config& config)
    : access_(net::host_access(config)), url_(net::shown_host(access_.url)), token_file_(config.security.token_file.string()),
      http_(std::make_unique<net::HttpClient>(access_.url, access_.token)) {}

ApiClient::~ApiClient() = default;

void ApiClient::refuse(int status, const std::string& body) const {
  const std::string detail = detail_of(body);
  if (status == 401) {
    const std::string fact = access_.token.empty() ? "the host at " + url_ + " wants a token, and there is none here."
                                            : "the host at " + url_ + " does not accept our token.";
    throw Unauthorized(fact, "Set RIVERBOX_TOKEN, or put the token into " +
                                 (token_file_.empty() ? "~/.riverbox/token" : token_file_) +
                                 " (mode 0600). An administrator makes one: riverbox token create NAME. The host's own, an administrator's, is in its token file.");
  }
  if (status == 403) throw Forbidden(detail.empty() ? "the host at " + url_ + " does not allow this." : detail);
  if (status < 400)  // a redirect: not a host of ours
    throw HostRefusal(status, url_ + " answered with HTTP status " + std::to_string(status) + "; is that a riverbox host?");
  throw HostRefusal(status, detail.empty() ? "the host answered with HTTP status " + std::to_string(status) + "." : detail);
}

std::string ApiClient::get_body(const std::string& path, std::chrono::milliseconds timeout) {
  net::HttpClient::Options options;
  options.total_timeout = timeout;
  net::Response response = http_->request("GET", path, {}, options);
  if (response.status >= 300) refuse(response.status, response.body);
  return std::move(response.body);
}

Json ApiClient::get(const std::string& path, std::chrono::milliseconds timeout) { return parse_answer(get_body(path, timeout), url_); }

std::string ApiClient::get_text(const std::string& path, std::chrono::milliseconds timeout) {
  std::string body = get_body(path, timeout);
  const auto shows = [](char c) { return c == '\n' || (static_cast<unsigned char>(c) >= ' ' && c != '\x7f'); };
  const bool indented = body.starts_with("{\n  \"") && body.ends_with("\n}") && std::all_of(body.begin(), body.end(), shows);
  return indented ? std::move(body) + "\n" : json_text(parse_answer(body, url_));
}

net::Response ApiClient::copy_text(const std::string& path, const std::function<void(std::string_view)>& sink) {
  net::HttpClient::Options options;
  options.total_timeout = std::chrono::milliseconds(0);
  options.on_body = sink;
  net::Response response = http_->request("GET", path, {}, options);
  if (response.status >= 300) refuse(response.status, response.body);
  return response;
}

Json ApiClient::post(const std::string& path, const Json& body, std::chrono::milliseconds timeout) {
  net::HttpClient::Options options;
  options.total_timeout = timeout;
  if (!body.is_null()) options.headers = {{"Content-Type", "application/json"}};
  const net::Response response = http_->request("POST", path, body.is_null() ? "" : body.dump(), options);
  if (response.status >= 300) refuse(response.status, response.body);
  return parse_answer(response.body, url_);
}

Json ApiClient::remove(const std::string& path, std::chrono::milliseconds timeout) {
  net::HttpClient::Options options;
  options.total_timeout = timeout;
  const net::Response response = http_->request("DELETE", path, {}, options);
  if (response.status >= 300) refuse(response.status, response.body);
  return parse_answer(response.body, url_);
}

Json ApiClient::post_long(const std::string& path, const Json& body, const std::function<void(const Progress&)>& on_progress,
                          const CancelToken& cancel) {
  AnswerReader reader(on_progress);
  net::HttpClient::Options options;
  options.total_timeout = std::chrono::milliseconds(0);
  options.headers = {{"Accept", kNdjson}};
  if (!body.is_null()) options.headers.emplace_back("Content-Type", "application/json");
  options.on_body = [&reader](std::string_view bytes) { reader.feed(bytes); };
  const net::Response response = http_->request("POST", path, body.is_null() ? "" : body.dump(), options, cancel);
  if (response.status >= 300) refuse(response.status, response.body);
  const AnswerReader::Answer answer = reader.finish(response.status);
  if (answer.status >= 300) refuse(answer.status, answer.body.dump());
  return answer.body;
}

InterruptToken::InterruptToken() {
  interrupted = &token_;
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_RESETHAND;
  ::sigaction(SIGINT, &action, nullptr);
}

InterruptToken::~InterruptToken() {
  ::signal(SIGINT, SIG_DFL);
  interrupted = nullptr;
}

}  // namespace riverbox::applets
