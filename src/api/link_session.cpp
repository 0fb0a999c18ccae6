// The host's end of a link (docs/link-protocol.md). Frames are parsed on the loop; what they say is applied on the state worker, in order.
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "api/events.hpp"
#include "api/services.hpp"
#include "api/shapes.hpp"
#include "api/sockets.hpp"
#include "base/error.hpp"
#include "base/log.hpp"
#include "base/snapshot.hpp"
#include "base/strings.hpp"
#include "os/topology_json.hpp"
#include "terminal/shell.hpp"

namespace riverbox::api {
namespace {

using nlohmann::json;

class LinkSession : public host::RunnerLink, public std::enable_shared_from_this<LinkSession> {
public:
  LinkSession(const SocketCall& call, std::shared_ptr<net::WebSocket> socket)
      : services_(call.services), identity_(call.identity), socket_(std::move(socket)), address_(call.request.remote_address) {}

  void start() {
    auto self = shared_from_this();
    socket_->start({.message = [self](std::string_view data, bool binary) { self->received(data, binary); },
                    .closed = [self](std::uint16_t, std::string_view) { self->closed(); },
                    .drained = [] {}});
  }

  // ---- host::RunnerLink
  void dispatch(const TaskSpec& spec) override { send({{"type", "dispatch"}, {"task", spec}}); }
  void kill(TaskId id, int attempt) override { send({{"type", "kill"}, {"task_id", id.str()}, {"attempt", attempt}}); }
  void drop() override { socket_->close(1001, "nothing has been heard for too long"); }
  void control(const std::string& action, TaskId id, int attempt, std::function<void(bool, std::string)> done) override {
    ask({{"type", action}, {"task_id", id.str()}, {"attempt", attempt}},
        {.done = [done = std::move(done)](const json& answer) { done(answer.value("ok", false), answer.value("message", "")); }});
  }
  void sync(const host::SyncOrder& order, std::function<void(std::uint64_t, std::uint64_t)> progress, std::function<void(host::SyncAnswer)> done) override {
    ask({{"type", "sync"}, {"environment", order.environment}, {"tarball", order.tarball}, {"exact", order.exact}, {"idle", order.idle}},
        {.done = [done = std::move(done)](const json& answer) { done(sync_answer(answer)); },
         .progress = [progress = std::move(progress)](const json& m) { progress(m.value("bytes", std::uint64_t{0}), m.value("total_bytes", std::uint64_t{0})); }});
  }
  void snapshots(const SnapshotOrder& order, const std::function<void(const host::StepProgress&)>& progress, const std::function<void(const SnapshotAnswer&)>& done) override {
    ask({{"type", "snapshots"}, {"order", order}},
        {.done = [done](const json& answer) { done(snapshot_answer(answer)); },
         .progress = [progress](const json& m) { progress({m.value("step", ""), m.value("bytes", std::uint64_t{0}), m.value("total_bytes", std::uint64_t{0})}); }});
  }
  void open_logs(const std::string& stream, TaskId id, int attempt, std::uint64_t stdout_from, std::uint64_t stderr_from) override {
    send({{"type", "open_logs"}, {"stream", stream}, {"task_id", id.str()}, {"attempt", attempt}, {"stdout_from", stdout_from}, {"stderr_from", stderr_from}});
  }
  void open_output(const std::string& stream, const host::OutputOrder& order) override {
    json part{{"file", order.file}};
    if (order.range) part["range"] = *order.range;
    if (order.last_lines) part["tail"] = *order.last_lines;
    send({{"type", "open_logs"}, {"stream", stream}, {"task_id", order.id.str()}, {"attempt", order.attempt}, {"part", std::move(part)}});
  }
  void list_sessions(TaskId id, int attempt, std::function<void(host::SessionList)> done) override {
    ask({{"type", "sessions"}, {"task_id", id.str()}, {"attempt", attempt}}, {.done = [done = std::move(done)](const json& answer) { done(session_list(answer)); }});
  }
  void open_terminal(const std::string& stream, TaskId id, int attempt, const terminal::RelayOptions& options) override {
    const auto& open = options.open;
    json message{{"type", "open_terminal"}, {"stream", stream}, {"task_id", id.str()}, {"attempt", attempt}, {"dialect", options.dialect == terminal::Dialect::riverbox ? "riverbox" : "json"},
          {"tty", open.tty}, {"rows", open.rows}, {"cols", open.columns}, {"env", open.env}};
    if (const auto& wish = options.session) {
      message["session"] = {{"name", wish->name.str()}, {"watch", wish->watch}, {"new", wish->fresh}};
      if (wish->resume) message["session"]["resume"] = wish->resume->str();
    }
    send(message);
  }
  void open_forward(const std::string& stream, TaskId id, int attempt) override {
    send({{"type", "open_forward"}, {"stream", stream}, {"task_id", id.str()}, {"attempt", attempt}});
  }

private:
  // One question to the runner. The answer is a message of it, or one that says that the link broke.
  struct Question {
    std::function<void(const json&)> done, progress = {};
  };

  static json broken() { return {{"ok", false}, {"error", "unavailable"}, {"message", "the link to the runner broke"}}; }

  static host::SyncAnswer sync_answer(const json& m) {
    return {.ok = m.value("ok", false), .message = m.value("message", ""), .tarball = m.value("tarball", ""), .way = m.value("way", ""),
            .loaded = m.value("loaded", false), .bytes_read = m.value("bytes_read", std::uint64_t{0})};
  }

  // Whoever waits for it is told, also of one that makes no sense.
  static SnapshotAnswer snapshot_answer(const json& m) {
    try {
      return m.get<SnapshotAnswer>();
    } catch (const std::exception& error) {
      return {.error = ErrorKind::internal, .message = std::string("the runner's answer makes no sense: ") + error.what()};
    }
  }

  static host::SessionList session_list(const json& m) {
    host::SessionList list{.ok = m.value("ok", false), .message = m.value("message", "")};
    for (const auto& s : m.value("sessions", json::array()))
      list.sessions.push_back({s.value("name", ""), s.value("since", ""), s.value("clients", 0), s.value("watchers", 0), s.value("rows", 0), s.value("cols", 0)});
    return list;
  }

  void ask(json message, Question question) {
    auto request = random_hex(8);
    bool asked = false;
    {
      std::lock_guard lock(mutex_);
      if (!gone_) asked = questions_.emplace(request, question).second;
    }
    if (!asked) return question.done(broken());
    message["request"] = request;
    send(message);
  }

  void send(const json& message) { socket_->send(message.dump(-1, ' ', false, json::error_handler_t::replace), false); }

  void refuse(const std::string& why) {
    log::warning("host", "runner refused", {{"from", address_}, {"reason", why}});
    send({{"type", "refused"}, {"message", why}});
    socket_->close(1008, "refused");
  }

  void received(std::string_view data, bool binary) {
    auto message = binary ? json() : json::parse(data, nullptr, false);
    if (!message.is_object() || !message.contains("type") || !message["type"].is_string()) return refuse("a frame that is no message");
    // The state worker applies messages one after the other, so their order is kept.
    services_.state.post([self = shared_from_this(), message = std::move(message)] {
      try {
        self->apply(message);
      } catch (const std::exception& e) {
        self->refuse(e.what());
      }
    });
  }

  void apply(const json& m) {
    const auto& type = m["type"].get_ref<const std::string&>();
    if (type == "hello") return hello(m);
    if (hostname_.empty()) throw InvalidInput("the first message must be hello");
    if (!services_.nodes.is_current(hostname_, this)) return socket_->close(1008, "another link has taken its place");  // late news; the other link has told it too
    if (type == "report") {
      const auto report = m.at("report").get<TaskReport>();
      if (services_.tasks.is_on(hostname_, report.id, report.attempt)) services_.tasks.apply(report);
      else log::debug("host", "a report on a task that is not there is ignored", {{"node", hostname_}, {"task", report.id.str()}});
      return send({{"type", "ack"}, {"sequence", m.at("sequence").get<std::int64_t>()}});
    }
    if (type == "synced") return services_.tasks.reconcile(hostname_, attempts_);
    if (type == "heartbeat") return heartbeat(m);
    if (type == "result") return result(m);
    if (type == "progress") return progress(m);
    if (type == "holdings") return holdings(m);
    if (type == "loaded")
      return services_.metrics.load({m.value("way", ""), m.value("sent_bytes", std::uint64_t{0}), m.value("saved_bytes", std::uint64_t{0}), m.value("seconds", 0.0)});
    log::debug("host", "unknown message of a runner ignored", {{"node", hostname_}, {"type", type}});
  }

  void hello(const json& m) {
    if (!hostname_.empty()) throw InvalidInput("a second hello");
    if (m.value("protocol", 0) != 1) throw InvalidInput("unknown version of the link protocol", "Install the same riverbox version on host and runners.");
    host::NodeDescription d;
    d.hostname = NodeName::parse(m.at("node").get<std::string>()).str();
    if (identity_.role == Role::node && identity_.name != d.hostname)
      throw Forbidden(fmt::format("this runner has joined as '{}' and calls itself '{}'", identity_.name, d.hostname), "Let it join again under its new name.");
    if (identity_.role == Role::node && !services_.tokens.knows_node(d.hostname))  // it was there when the link was opened
      throw Forbidden("the identity of this node was revoked", "On the host: riverbox node join-command.");
    d.version = m.value("version", "");
    d.address = address_;
    d.cores = m.at("cores").get<int>();
    d.memory_bytes = m.at("memory_bytes").get<std::uint64_t>();
    d.numa = os::numa_of(m.value("numa", json()));
    d.gpus = os::gpus_of(m.value("gpus", json()));
    if (const auto cpus = os::cpus_of(m.value("cpus", json())); !cpus.empty()) d.cpus = std::make_shared<host::Cpus>(host::cpus_of(cpus, d.numa));
    d.host_tasks = m.value("host_tasks", false);
    d.vpses = m.value("vpses", false);
    d.terminals = m.value("terminals", false);
    d.forwards = m.value("forwards", false);
    d.snapshots = m.value("snapshots", false);
    d.sessions = m.value("sessions", false);
    for (const auto& a : m.value("attempts", json::array()))
      attempts_.push_back({TaskId::parse(a.at("task_id").get<std::string>()), a.value("attempt", 1), a.value("epoch", std::int64_t{1}),
                           a.contains("state") ? std::optional(parse_task_state(a["state"].get<std::string>())) : std::nullopt,
                           a.contains("gpus") ? std::optional(a["gpus"].get<std::vector<int>>()) : std::nullopt,
                           a.contains("cpus") ? std::optional(a["cpus"].get<std::vector<int>>()) : std::nullopt, a.value("claim", "")});
    auto epoch = services_.nodes.connect(d, shared_from_this());
    hostname_ = d.hostname;
    services_.tasks.take_in(hostname_, attempts_);
    if (is_gone()) return services_.nodes.disconnect(hostname_, this);  // closed() came while we waited
    send({{"type", "welcome"}, {"epoch", epoch}, {"heartbeat_interval_s", services_.nodes.heartbeat_interval().count()},
          {"shared_dir", services_.config->paths.shared_dir.string()}});
    json keys = json::array();
    for (const auto& key : services_.version_keys.trusted()->all()) keys.push_back(key.str());
    send({{"type", "keys"}, {"keys", std::move(keys)}});  // before anything that wants an environment
    services_.vpses.clean(hostname_);
  }

  void heartbeat(const json& m) {
    os::Load load;
    load.cpu_percent = m.value("cpu_percent", 0.0);
    load.memory_percent = m.value("memory_percent", 0.0);
    load.memory_used_bytes = m.value("memory_used_bytes", std::uint64_t{0});
    load.memory_total_bytes = m.value("memory_total_bytes", std::uint64_t{0});
    if (auto t = m.find("temperature_avg"); t != m.end() && t->is_number()) load.average_temperature = t->get<double>();
    if (auto t = m.find("temperature_max"); t != m.end() && t->is_number()) load.maximum_temperature = t->get<double>();
    const bool was_silent = services_.nodes.heartbeat(hostname_, this, load, os::gpus_of(m.value("gpus", json())), services_.tasks.usage_of(hostname_).cores);
    // The runner's own clock, sent back: it counts from there how long it has been without us.
    if (auto sent = m.find("sent"); sent != m.end() && sent->is_number_integer()) send({{"type", "heard"}, {"sent", *sent}});
    if (was_silent) services_.tasks.schedule();
  }

  void result(const json& m) {
    std::optional<Question> question;
    {
      std::lock_guard lock(mutex_);
      auto found = questions_.extract(m.at("request").get<std::string>());
      if (found) question = std::move(found.mapped());
    }
    if (question) question->done(m);
  }

  void progress(const json& m) {
    Question question;
    {
      std::lock_guard lock(mutex_);
      auto found = questions_.find(m.at("request").get<std::string>());
      if (found != questions_.end()) question = found->second;
    }
    if (question.progress) question.progress(m);
  }

  void holdings(const json& m) {
    auto told = environment::holdings_of(m.at("images"));
    if (told.left_out > 0 && !std::exchange(left_out_, true))
      log::warning("host", "a runner tells of images that no environment can have; they are ignored", {{"node", hostname_}, {"count", std::to_string(told.left_out)}});
    tell_new(told.holdings);
    held_ = told.holdings;
    services_.nodes.hold(hostname_, this, std::move(told.holdings));
  }

  // Of what it had already when the link came up there is nothing to tell.
  void tell_new(const std::vector<environment::Holding>& held) {
    if (!held_) return;
    std::vector<store::EventRecord> events;
    for (const auto& name : environment::newly_held(*held_, held)) events.push_back({.type = "environment", .action = "loaded", .subject = name, .node = hostname_});
    note_events(services_.event_repository, events);
  }

  bool is_gone() {
    std::lock_guard lock(mutex_);
    return gone_;
  }

  void closed() {
    std::map<std::string, Question> open;
    {
      std::lock_guard lock(mutex_);
      gone_ = true;
      open.swap(questions_);
    }
    for (auto& [request, question] : open) question.done(broken());
    services_.state.post([self = shared_from_this()] {
      if (!self->hostname_.empty()) self->services_.nodes.disconnect(self->hostname_, self.get());
    });
  }

  Services& services_;
  const Identity identity_;
  std::shared_ptr<net::WebSocket> socket_;
  std::string address_;
  std::string hostname_;                        // state worker; empty before hello
  std::optional<std::vector<environment::Holding>> held_;  // state worker; sorted; as it was last told
  bool left_out_ = false;                       // state worker; that some of it is ignored has been logged
  std::vector<host::KnownAttempt> attempts_;    // state worker
  std::mutex mutex_;                            // guards the two below
  std::map<std::string, Question> questions_;
  bool gone_ = false;
};

}  // namespace

void start_link(const SocketCall& call, std::shared_ptr<net::WebSocket> socket) {
  std::make_shared<LinkSession>(call, std::move(socket))->start();
}

}  // namespace riverbox::api
