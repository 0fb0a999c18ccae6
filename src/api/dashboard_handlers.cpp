// The dashboard, out of the executable. Its page is looked for anew each time; what it loads has a name for each content and is kept by the browser.
#include <algorithm>

#include "api/gate.hpp"
#include "api/handlers.hpp"
#include "api/pages.hpp"
#include "api/services.hpp"
#include "base/error.hpp"
#include "base/strings.hpp"
#include "net/range.hpp"
#include "web/dashboard.hpp"

namespace riverbox::api {
namespace {

// Nothing comes from elsewhere, nothing in the page is a script or a style by itself, and no other page frames it.
constexpr const char* kPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const web::File* find(std::string_view path) {
  const auto files = web::files();
  const auto found = std::find_if(files.begin(), files.end(), [&](const web::File& file) { return file.path == path; });
  return found == files.end() ? nullptr : &*found;
}

void send(Call& call, const web::File& file, const char* kept) {
  const bool known = net::names_etag(call.request.header("if-none-match"), std::string(file.etag));
  net::Response answer{.status = known ? 304 : 200, .content_type = std::string(file.content_type)};
  answer.headers = {{"ETag", std::string(file.etag)}, {"Cache-Control", kept}, {"Content-Security-Policy", kPolicy}, {"Referrer-Policy", "same-origin"}, {"X-Frame-Options", "DENY"}};
  if (!known) {
    answer.body = file.bytes;
    if (file.compressed) answer.headers.emplace_back("Content-Encoding", "gzip");
  }
  call.responder->send(std::move(answer));
}

void send_part(const CallPtr& call, const std::string& path, const char* kept) {
  const auto* file = find(path);
  if (!file) throw NotFound("the dashboard has no '" + printable(path, 100) + "'", "Load the page again: the host may have been updated.");
  send(*call, *file, kept);
}

}  // namespace

void show_home(CallPtr call) {
  auto admitted = admit(call->services, call->request, Access::viewer);
  const auto* identity = std::get_if<Identity>(&admitted);
  if (!identity) {
    auto& refusal = std::get<net::Response>(admitted);
    return call->responder->send(refusal.status == 429 ? std::move(refusal) : redirect_to("/login"));
  }
  if (const auto* page = find("/index.html")) return send(*call, *page, "no-cache");
  call->responder->send(home_page(*identity));
}

void show_asset(CallPtr call) { send_part(call, "/assets/" + call->parameter("file"), "public, max-age=31536000, immutable"); }
void show_icon(CallPtr call) { send_part(call, "/icon.svg", "public, max-age=86400"); }

}  // namespace riverbox::api
