// Snapshots of VPSs (docs/vps.md). They lie on the VPS's node, so every answer comes from there; the state worker waits for none.
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "api/fields.hpp"
#include "api/handlers.hpp"
#include "api/progress.hpp"
#include "api/services.hpp"
#include "base/error.hpp"

namespace riverbox::api {
namespace {

using Action = SnapshotOrder::Action;

constexpr auto kLookTime = std::chrono::seconds(30);  // that a node's Docker has for a list
constexpr size_t kLongestMessage = 1000;

Json snapshot_shape(TaskId vps, const VpsSnapshot& s) {
  return {{"tag", s.tag}, {"task_id", vps.str()}, {"timestamp", s.timestamp}, {"size", s.size_bytes}, {"own_bytes", s.own_bytes}, {"created_at", s.created_at},
          {"message", s.message.empty() ? Json(nullptr) : Json(s.message)}, {"in_use", s.in_use}};
}

// A number is as good as its digits.
std::optional<std::string> which(const nlohmann::json& body, const char* name) {
  const auto value = field(body, name);
  if (!value) return std::nullopt;
  if (!value->is_string() && !value->is_number_unsigned()) wrong(name, "a snapshot: its number, its tag, or latest");
  return value->is_string() ? value->get<std::string>() : value->dump();
}

// Something quick: `then` goes on with the answer on the state worker. Whatever goes wrong, and a node that does not answer, is told to the one who asks.
void ask_node(const CallPtr& call, const store::TaskRecord& vps, SnapshotOrder order, std::function<void(const SnapshotAnswer&)> then) {
  const auto answered = std::make_shared<std::atomic<bool>>(false);
  const auto timer = std::make_shared<boost::asio::steady_timer>(call->services.loop, kLookTime);
  timer->async_wait([call, answered, node = vps.node](const boost::system::error_code& error) {
    if (!error && !answered->exchange(true)) call->responder->send(error_response(Timeout("the Docker of node " + node + " does not answer", "Look at its runner's log.")));
  });
  // True for the first one who has an answer.
  const auto first = [call, answered, timer] {
    boost::asio::post(call->services.loop, [timer] { timer->cancel(); });
    return !answered->exchange(true);
  };
  try {
    call->services.snapshots.ask(vps, std::move(order), [call, first, then = std::move(then)](const SnapshotAnswer& answer) {
      if (!first()) return;
      on_lane(call, Lane::state, [answer, then] {
        answer.check();
        then(answer);
      });
    });
  } catch (const std::exception&) {
    if (first()) throw;
  }
}

}  // namespace

void find_beginning(CallPtr call, const store::TaskRecord& vps, std::function<void(const host::Vpses::Beginning&)> then) {
  const auto body = call->body();
  host::Vpses::Beginning beginning{.fresh = flag(body, "fresh").value_or(false), .discard = flag(body, "discard").value_or(false)};
  const auto from = which(body, "from");
  if (from && beginning.fresh) throw InvalidInput("'from' and 'fresh' together are a contradiction", "Give one of the two.");
  if (beginning.discard && !from && !beginning.fresh) throw InvalidInput("'discard' goes with 'from' or 'fresh'", "Nothing is given up when a VPS starts as it was.");
  if (beginning.fresh) call->services.snapshots.check_runner(vps);
  if (!from) return then(beginning);
  ask_node(call, vps, {.action = Action::list}, [beginning, from, then = std::move(then)](const SnapshotAnswer& answer) mutable {
    beginning.snapshot = choose_snapshot(answer.snapshots, *from).timestamp;
    then(beginning);
  });
}

void restore_vps(CallPtr call) {
  const auto vps = own_vps(*call);
  const auto body = call->body();
  const auto wanted = which(body, "snapshot").value_or("latest");
  const bool discard = flag(body, "discard").value_or(false);
  ask_node(call, vps, {.action = Action::list}, [call, vps, wanted, discard](const SnapshotAnswer& answer) {
    begin_again(call, vps, {.snapshot = choose_snapshot(answer.snapshots, wanted).timestamp, .discard = discard});
  });
}

void list_snapshots(CallPtr call) {
  const auto vps = asked_vps(*call);
  ask_node(call, vps, {.action = Action::list}, [call, id = vps.spec.id](const SnapshotAnswer& answer) {
    Json list = Json::array();
    for (const VpsSnapshot& snapshot : answer.snapshots) list.push_back(snapshot_shape(id, snapshot));
    call->reply({{"task_id", id.str()}, {"snapshots", list}, {"count", list.size()}});
  });
}

void latest_snapshot(CallPtr call) {
  const auto vps = asked_vps(*call);
  ask_node(call, vps, {.action = Action::list}, [call, id = vps.spec.id](const SnapshotAnswer& answer) {
    call->reply({{"task_id", id.str()}, {"tag", choose_snapshot(answer.snapshots, "latest").tag}});
  });
}

void take_snapshot(CallPtr call) {
  const auto vps = asked_vps(*call);
  const auto query = call->request.query.find("message");
  const std::string message = text(call->body(), "message", query == call->request.query.end() ? "" : query->second);
  if (message.size() > kLongestMessage || message.find('\0') != std::string::npos) wrong("message", "at most " + std::to_string(kLongestMessage) + " bytes of text");
  on_lane(call, Lane::slow, [call, vps, message] {
    with_progress(call, [&](const host::StepCallback& progress, const CancelToken&) -> std::pair<int, Json> {
      const auto answer = call->services.snapshots.ask_and_wait(vps, {.action = Action::take, .message = message}, progress);
      const VpsSnapshot& taken = answer.snapshots.at(0);
      return {200, {{"message", "Snapshot " + std::to_string(taken.timestamp) + " of VPS " + vps.spec.id.str() + " taken."}, {"snapshot", snapshot_shape(vps.spec.id, taken)}, {"tag", taken.tag}}};
    });
  });
}

void delete_snapshot(CallPtr call) {
  const auto vps = own_vps(*call);
  ask_node(call, vps, {.action = Action::list}, [call, vps](const SnapshotAnswer& there) {
    const auto timestamp = choose_snapshot(there.snapshots, call->parameter("snapshot")).timestamp;
    ask_node(call, vps, {.action = Action::remove, .timestamp = timestamp}, [call, timestamp](const SnapshotAnswer&) {
      call->reply({{"message", "Snapshot " + std::to_string(timestamp) + " deleted."}});
    });
  });
}

void delete_snapshots(CallPtr call) {
  const auto vps = own_vps(*call);
  ask_node(call, vps, {.action = Action::remove}, [call](const SnapshotAnswer& gone) {
    const size_t count = gone.snapshots.size();
    call->reply({{"message", std::to_string(count) + (count == 1 ? " snapshot" : " snapshots") + " deleted. One that the VPS was made of stays with it."}, {"deleted_count", count}});
  });
}

void publish_vps(CallPtr call) {
  const auto vps = asked_vps(*call);
  const auto name = host::EnvironmentName::parse(text(call->body(), "name", ""));
  on_lane(call, Lane::slow, [call, vps, name] {
    with_progress(call, [&](const host::StepCallback& progress, const CancelToken&) -> std::pair<int, Json> {
      const auto written = call->services.snapshots.ask_and_wait(vps, {.action = Action::publish, .environment = name.str()}, progress);
      const auto done = call->services.environments.take_in(name, written.file, progress);
      announce_version(call->services, name.str(), done.version.tarball);
      return {200, {{"message", "VPS " + vps.spec.id.str() + " is version " + std::to_string(done.version.timestamp) + " of environment '" + name.str() + "'."}, {"env_name", name.str()},
                    {"timestamp", done.version.timestamp}, {"tarball", done.version.tarball}, {"image_id", done.version.image_id}, {"size_bytes", done.version.size_bytes}, {"pruned", done.pruned}}};
    });
  });
}

}  // namespace riverbox::api
