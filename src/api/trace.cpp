#include "api/trace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <chrono>

#include "base/log.hpp"
#include "base/strings.hpp"

namespace riverbox::api {
namespace {

constexpr size_t kMaxRequestId = 64;

bool can_be_request_id(std::string_view text) {
  const auto fits = [](unsigned char c) { return std::isalnum(c) || c == '.' || c == '_' || c == ':' || c == '-'; };
  return !text.empty() && text.size() <= kMaxRequestId && std::all_of(text.begin(), text.end(), fits);
}

class TracedResponder final : public net::Responder {
public:
  TracedResponder(std::shared_ptr<net::Responder> responder, Metrics& metrics, const net::Request& request, std::string id, std::string route)
      : responder_(std::move(responder)), metrics_(metrics), id_(std::move(id)), route_(std::move(route)) {
    request_.method = request.method;
    request_.path = request.path;
  }

  void send(net::Response response) override {
    const log::Scope scope(context_);
    log_failure(response.status, response.body);
    tell(response.status);
    responder_->send(marked(std::move(response)));
  }
  void stream(net::Response head, const std::function<void(net::BodyWriter&)>& produce) override {
    const log::Scope scope(context_);
    const int status = head.status;
    try {
      responder_->stream(marked(std::move(head)), produce);
    } catch (...) {
      tell(status);
      throw;
    }
    tell(status);
  }
  std::unique_ptr<net::OpenBody> open(net::Response head, net::OpenBody::Events events) override {
    const log::Scope scope(context_);
    tell(head.status);
    return responder_->open(marked(std::move(head)), std::move(events));
  }

private:
  net::Response marked(net::Response response) const {
    response.headers.emplace_back(kRequestIdHeader, id_);
    return response;
  }
  void tell(int status) {
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - since_;
    metrics_.request(request_.method, route_, status, took);
    log_request(request_, status, took.count() * 1000);
  }

  std::shared_ptr<net::Responder> responder_;
  Metrics& metrics_;
  net::Request request_;  // method and path alone
  const std::string id_, route_;
  const log::Context context_ = log::context();
  const std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

}  // namespace

std::string request_id(const net::Request& request) {
  const auto* given = request.header("x-request-id");
  return given && can_be_request_id(*given) ? *given : random_hex(8);
}

std::shared_ptr<net::Responder> traced(std::shared_ptr<net::Responder> responder, Metrics& metrics, const net::Request& request, std::string id, std::string route) {
  return std::make_shared<TracedResponder>(std::move(responder), metrics, request, std::move(id), std::move(route));
}

void log_request(const net::Request& request, int status, double milliseconds) {
  if (!log::enabled(log::Level::debug)) return;
  log::debug("http", request.method + " " + printable(request.path, 300), {{"status", std::to_string(status)}, {"ms", fmt::format("{:.1f}", milliseconds)}});
}

void log_failure(int status, std::string_view body) {
  if (status >= 500) log::warning("api", "a request failed", {{"status", std::to_string(status)}, {"detail", net::error_detail(body)}});
}

}  // namespace riverbox::api
