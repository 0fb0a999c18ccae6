#include "net/http_parser.hpp"

#include <fmt/format.h>

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <optional>

#include "base/strings.hpp"

namespace riverbox::net {
namespace http = boost::beast::http;

namespace {

constexpr std::uint32_t kMaxHeadBytes = 64 << 10;
constexpr size_t kMaxHeaders = 200;
// "0", CRLF, CRLF: no chunked body ends in fewer. Beast, once it has seen the "0", asserts that it is shown as many.
constexpr size_t kLeastEndOfChunks = 5;

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

// "http://host:8000/path?q" -> authority and the rest. RFC 9112 3.2.2: a server must accept this form.
struct AbsoluteForm {
  std::string authority, target;
};
std::optional<AbsoluteForm> absolute_form(std::string_view target) {
  const size_t scheme = target.find("://");
  if (target.starts_with('/') || scheme == std::string_view::npos) return std::nullopt;
  std::string_view rest = target.substr(scheme + 3);
  const size_t path = rest.find_first_of("/?");
  std::string_view tail = path == std::string_view::npos ? "/" : rest.substr(path);
  return AbsoluteForm{std::string(rest.substr(0, path)), (tail.starts_with('?') ? "/" : "") + std::string(tail)};
}

}  // namespace

struct HttpParser::Impl {
  http::request_parser<http::string_body> parser;
  std::uint64_t max_body_bytes;
};

HttpParser::HttpParser(std::uint64_t max_body_bytes) : impl_(std::make_unique<Impl>()) {
  impl_->max_body_bytes = max_body_bytes;
  impl_->parser.header_limit(kMaxHeadBytes);
  impl_->parser.body_limit(max_body_bytes);
}
HttpParser::~HttpParser() = default;

size_t HttpParser::put(std::string_view bytes, Refusal& refusal) {
  boost::system::error_code ec;
  auto& parser = impl_->parser;
  if (parser.is_header_done()) {
    if (parser.chunked() && bytes.size() < kLeastEndOfChunks && bytes.starts_with('0')) return 0;
    parser.eager(true);
  }
  const size_t used = parser.put(boost::asio::buffer(bytes), ec);
  if (!ec || ec == http::error::need_more) return used;
  if (ec == http::error::body_limit)
    refusal = {413, fmt::format("the request body is larger than {}", human_bytes(impl_->max_body_bytes))};
  else if (ec == http::error::header_limit)
    refusal = {431, fmt::format("the request headers are larger than {}", human_bytes(kMaxHeadBytes))};
  else
    refusal = {400, "malformed HTTP request: " + ec.message()};
  return used;
}

bool HttpParser::head_done() const { return impl_->parser.is_header_done(); }
bool HttpParser::done() const { return impl_->parser.is_done(); }
bool HttpParser::keep_alive() const { return impl_->parser.keep_alive(); }
bool HttpParser::http_1_0() const { return impl_->parser.get().version() == 10; }
bool HttpParser::has_body() const { return impl_->parser.chunked() || impl_->parser.content_length().value_or(0) > 0; }

bool HttpParser::expects_continue() const {
  return impl_->parser.get().version() == 11 && boost::beast::iequals(impl_->parser.get()[http::field::expect], "100-continue");
}

HttpParser::Refusal HttpParser::check_head() const {
  const auto& head = impl_->parser.get();
  size_t hosts = 0, headers = 0;
  for (const auto& field : head) {
    ++headers;
    if (field.name() == http::field::host) ++hosts;
  }
  if (headers > kMaxHeaders) return {431, fmt::format("the request has more than {} headers", kMaxHeaders)};
  if (hosts > 1) return {400, "the request has more than one Host header"};
  if (hosts == 0 && head.version() == 11) return {400, "the request has no Host header"};
  if (head.count(http::field::transfer_encoding) && (!impl_->parser.chunked() || head.version() == 10))
    return {501, "this Transfer-Encoding is not supported; send chunked or a Content-Length"};
  if (head.count(http::field::expect) && !expects_continue() && head.version() == 11) return {417, "this Expect header is not supported"};
  const std::string_view target = view(head.target());
  if (target.empty() || (target.front() != '/' && target != "*" && !absolute_form(target))) return {400, "malformed request target"};
  return {};
}

Request HttpParser::take_request(std::string remote_address) {
  auto message = impl_->parser.release();
  Request request;
  request.method = view(message.method_string());
  request.remote_address = std::move(remote_address);
  for (const auto& field : message) {
    // Equal names form a list (RFC 9110 5.3).
    auto [entry, is_new] = request.headers.try_emplace(to_lower(view(field.name_string())), view(field.value()));
    if (!is_new) entry->second += ", " + std::string(view(field.value()));
  }
  std::string target(view(message.target()));
  if (auto absolute = absolute_form(target)) {
    request.headers["host"] = absolute->authority;  // counts instead of the header
    target = std::move(absolute->target);
  }
  if (size_t fragment = target.find('#'); fragment != std::string::npos) target.erase(fragment);
  const size_t question = target.find('?');
  request.path = target.substr(0, question);
  if (question != std::string::npos) request.query = parse_query(std::string_view(target).substr(question + 1));
  request.body = std::move(message.body());
  return request;
}

}  // namespace riverbox::net
