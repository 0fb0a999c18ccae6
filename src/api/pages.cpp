#include "api/pages.hpp"

#include <fmt/format.h>

#include "base/strings.hpp"

namespace riverbox::api {
namespace {

constexpr const char* kPolicy =
    "default-src 'none'; style-src 'self' 'nonce-{}'; img-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

constexpr std::string_view kStyle =
    "body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem;color:#1c2833;background:#fbfcfc}"
    "input,button{font:inherit;padding:.4rem .6rem}input{width:100%;box-sizing:border-box;margin:.3rem 0 .8rem}"
    ".problem{border-left:4px solid #c0392b;padding:.4rem .8rem;background:#fdedec}code{background:#eaeded;padding:.1rem .3rem}"
    "@media(prefers-color-scheme:dark){body{color:#eaeded;background:#17202a}.problem{background:#4a1f1b}code{background:#2c3e50}a{color:#85c1e9}}";

}  // namespace

std::string html_escaped(std::string_view text) {
  std::string out;
  for (const char c : valid_utf8(text)) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

net::Response html_page(std::string_view title, std::string_view body, int status) {
  net::Response page{.status = status, .content_type = "text/html; charset=utf-8", .body = {}, .headers = {}};
  const std::string nonce = random_hex(16);
  page.body = fmt::format("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{}</title><style nonce=\"{}\">{}</style>{}</html>\n",
                          html_escaped(title), nonce, kStyle, body);
  page.headers = {{"Content-Security-Policy", fmt::format(fmt::runtime(kPolicy), nonce)}, {"Referrer-Policy", "same-origin"}, {"X-Frame-Options", "DENY"}, {"Cache-Control", "no-store"}};
  return page;
}

net::Response login_page(std::string_view problem, int status) {
  const std::string shown = problem.empty() ? "" : fmt::format("<p class=\"problem\" role=\"alert\">{}</p>", html_escaped(problem));
  return html_page("riverbox: log in",
                   fmt::format("<h1>riverbox</h1>{}<form method=\"post\" action=\"/login\"><label for=\"token\">Token</label>"
                               "<input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"current-password\" required autofocus><button>Log in</button></form>"
                               "<p>An administrator makes one with <code>riverbox token create NAME</code>. The host's own is in its token file, <code>~/.riverbox/token</code>.</p>",
                               shown),
                   status);
}

net::Response home_page(const Identity& identity) {
  const std::string who = identity.known ? fmt::format("<p>Logged in as <b>{}</b> ({}).</p><form method=\"post\" action=\"/logout\"><button>Log out</button></form>", html_escaped(identity.name), to_string(identity.role))
                                         : "<p class=\"problem\" role=\"alert\">Authentication is off: whoever reaches this port is root on every node. Set <code>auth = \"token\"</code> below <code>[security]</code> in the configuration of the host, and restart it.</p>";
  return html_page("riverbox", fmt::format("<h1>riverbox</h1>{}<ul><li><a href=\"/api/nodes\">Nodes</a><li><a href=\"/api/tasks\">Tasks</a><li><a href=\"/api/docker/list\">Environments</a>"
                                           "<li><a href=\"/metrics\">Metrics</a><li><a href=\"/openapi.json\">The API</a></ul>", who));
}

net::Response redirect_to(std::string_view path) {
  return {.status = 303, .content_type = "text/plain", .body = {}, .headers = {{"Location", std::string(path)}, {"Cache-Control", "no-store"}}};
}

}  // namespace riverbox::api
