#include "api/pages.hpp"

#include <fmt/format.h>

#include "base/strings.hpp"

namespace riverbox::api {
namespace {

constexpr const char* kPolicy =
    "default-src 'none'; style-src 'self' 'nonce-{0}'; img-src 'self'; script-src 'self' 'nonce-{0}'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

// A browser takes what is behind the '#' along to the page that follows on the login, if the form's address has it.
constexpr std::string_view kKeepPlace = "document.forms[0].action+=location.hash";

// The colours of the dashboard (src/web/src/style.css).
constexpr std::string_view kStyle =
    ":root{--bg:#f4f6f8;--panel:#fff;--line:#dde3e9;--text:#16202a;--soft:#556371;--accent:#0e7490;--bad:#b91c1c;--tint:#fee2e2;color-scheme:light dark}"
    "@media(prefers-color-scheme:dark){:root{--bg:#0f161c;--panel:#172028;--line:#2c3945;--text:#e6edf3;--soft:#9fb0bf;--bad:#fca5a5;--tint:#461a1a}a{color:#4cc3de}}"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:27rem;margin:min(12vh,7rem) auto;padding:2rem;color:var(--text);background:var(--bg)}"
    "body>:first-child{margin-top:0}h1{letter-spacing:-.02em}form{background:var(--panel);border:1px solid var(--line);border-radius:10px;padding:1.3rem}label{font-weight:600}"
    "input,button{font:inherit;padding:.5rem .7rem;border-radius:7px;border:1px solid var(--line)}input{width:100%;box-sizing:border-box;margin:.3rem 0 1rem;color:inherit;background:var(--bg)}"
    "button{background:var(--accent);border-color:var(--accent);color:#fff;font-weight:600;cursor:pointer}p{color:var(--soft)}"
    ".problem{border-left:4px solid var(--bad);padding:.5rem .8rem;background:var(--tint);color:var(--bad);border-radius:0 7px 7px 0}code{overflow-wrap:anywhere}";

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

net::Response html_page(std::string_view title, std::string_view body, int status, std::string_view script) {
  net::Response page{.status = status, .content_type = "text/html; charset=utf-8", .body = {}, .headers = {}};
  const std::string nonce = random_hex(16);
  page.body = fmt::format("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{}</title><link rel=\"icon\" href=\"/icon.svg\"><style nonce=\"{}\">{}</style>{}{}</html>\n",
                          html_escaped(title), nonce, kStyle, body, script.empty() ? "" : fmt::format("<script nonce=\"{}\">{}</script>", nonce, script));
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
                   status, kKeepPlace);
}

net::Response home_page(const Identity& identity) {
  const std::string who = identity.known ? fmt::format("<p>Logged in as <b>{}</b> ({}).</p><form method=\"post\" action=\"/logout\"><button>Log out</button></form>", html_escaped(identity.name), to_string(identity.role))
                                         : "<p class=\"problem\" role=\"alert\">Authentication is off: whoever reaches this port is root on every node. Set <code>auth = \"token\"</code> below <code>[security]</code> in the configuration of the host, and restart it.</p>";
  return html_page("riverbox", fmt::format("<h1>riverbox</h1>{}<p>This riverbox was built without its dashboard.</p><ul><li><a href=\"/api/nodes\">Nodes</a><li><a href=\"/api/tasks\">Tasks</a><li><a href=\"/api/docker/list\">Environments</a>"
                                           "<li><a href=\"/metrics\">Metrics</a><li><a href=\"/openapi.json\">The API</a></ul>", who));
}

net::Response redirect_to(std::string_view path) {
  return {.status = 303, .content_type = "text/plain", .body = {}, .headers = {{"Location", std::string(path)}, {"Cache-Control", "no-store"}}};
}

}  // namespace riverbox::api
