#include <boost/asio/steady_timer.hpp>

#include "api/handlers.hpp"
#include "api/services.hpp"

namespace riverbox::api {
namespace {

os::WorkerPool& pool(Services& s, Lane lane) {
  switch (lane) {
    case Lane::state: return s.state;
    case Lane::docker: return s.docker;
    case Lane::share: return s.share;
    case Lane::slow: return s.slow;
    case Lane::transfer: return s.transfers;
  }
  return s.slow;
}

}  // namespace

void on_lane(CallPtr call, Lane lane, std::function<void()> work) {
  auto& workers = pool(call->services, lane);
  auto guarded = [call, work = std::move(work)] {
    try {
      work();
    } catch (const std::exception& e) {
      call->responder->send(error_response(e));
    }
  };
  if (!workers.post(std::move(guarded)))
    call->responder->send(detail(503, "the host is busy: everything that works on '" + workers.name() +
                                          "' is waiting for an answer. Look at the host's log, then try again."));
}

void on_lane(CallPtr call, Lane lane, void (*work)(CallPtr)) {
  on_lane(call, lane, [call, work] { work(call); });
}

void on_lane_after(std::chrono::milliseconds wait, CallPtr call, Lane lane, std::function<void()> work) {
  const auto timer = std::make_shared<boost::asio::steady_timer>(call->services.loop, wait);
  timer->async_wait([timer, call, lane, work = std::move(work)](const boost::system::error_code& error) {
    if (!error) on_lane(call, lane, work);
  });
}

}  // namespace riverbox::api
