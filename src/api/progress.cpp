#include "api/progress.hpp"

#include <chrono>

#include "api/trace.hpp"
#include "base/error.hpp"

namespace riverbox::api {

void with_progress(CallPtr call, const LongWork& work) {
  CancelToken client_gone;
  auto accepted = call->request.header("accept");
  if (!accepted || accepted->find("application/x-ndjson") == std::string::npos) {
    auto [status, result] = work([](const host::StepProgress&) {}, client_gone);
    return call->reply(result, status);
  }
  call->responder->stream({.status = 200, .content_type = "application/x-ndjson"}, [&](net::BodyWriter& writer) {
    auto say = [&](const Json& line) {
      if (writer.client_gone()) return client_gone.cancel();
      try {
        writer.write(line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
      } catch (const Cancelled&) {
        client_gone.cancel();
      }
    };
    using Clock = std::chrono::steady_clock;
    Clock::time_point last{};
    std::string step;
    auto progress = [&](const host::StepProgress& p) {
      auto now = Clock::now();
      if (p.step == step && now - last < std::chrono::milliseconds(200)) return;
      last = now;
      step = p.step;
      say({{"progress", {{"step", p.step}, {"bytes", p.bytes}, {"total_bytes", p.total_bytes}}}});
    };
    try {
      auto [status, result] = work(progress, client_gone);
      say({{"status", status}, {"result", result}});
    } catch (const std::exception& e) {
      log_failure(status_of(e), e.what());
      say({{"status", status_of(e)}, {"error", {{"detail", e.what()}}}});
    }
  });
}

}  // namespace riverbox::api
