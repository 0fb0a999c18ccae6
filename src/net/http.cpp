#include "net/http.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"

namespace riverbox::net {

const std::string* Request::header(std::string_view lower_name) const {
  auto found = headers.find(std::string(lower_name));
  return found == headers.end() ? nullptr : &found->second;
}

Response error_response(int status, std::string_view detail) {
  Response response;
  response.status = status;
  response.body = nlohmann::json{{"detail", valid_utf8(detail)}}.dump();
  return response;
}

std::string error_detail(std::string_view body) {
  auto json = nlohmann::json::parse(body, nullptr, false);
  if (json.is_object()) {
    auto detail = json.find("detail");
    if (detail != json.end()) return detail->is_string() ? detail->get<std::string>() : detail->dump();
  }
  return printable(trim(body), 300);
}

std::map<std::string, std::string> parse_query(std::string_view text) {
  auto decoded = [](std::string_view part) {
    std::string spaced(part);
    for (char& c : spaced)
      if (c == '+') c = ' ';
    return percent_decoded(spaced).value_or(spaced);
  };
  std::map<std::string, std::string> pairs;
  for (const std::string& pair : split(text, '&')) {
    if (pair.empty()) continue;
    size_t equals = pair.find('=');
    std::string_view key = std::string_view(pair).substr(0, equals);
    std::string_view value = equals == std::string::npos ? "" : std::string_view(pair).substr(equals + 1);
    pairs[decoded(key)] = decoded(value);
  }
  return pairs;
}

bool lists_token(const std::string* header, std::string_view lower_token) {
  if (!header) return false;
  for (const std::string& token : split(*header, ','))
    if (to_lower(trim(token)) == lower_token) return true;
  return false;
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 426: return "Upgrade Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 507: return "Insufficient Storage";
    default: return "";
  }
}

}  // namespace riverbox::net
